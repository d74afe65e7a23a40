package dialecttest

import (
	"strings"
	"testing"
)

// A name of at most eight words can be read in a list, and quoted in a document.
func TestCaseNamesHaveAtMostEightWords(t *testing.T) {
	for _, group := range groups {
		for _, c := range group.cases {
			if n := len(strings.Fields(c.name)); n > 8 {
				t.Errorf("%s: %q has %d words", group.name, c.name, n)
			}
		}
	}
}
