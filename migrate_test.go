package dpopnonce_test

import (
	"context"
	"errors"
	"testing"

	"gorm.io/gorm"
)

// GORM's migrator then reads a row that it does not have.
func TestMigrateIgnoresCallbacksThatRefuseItsLookUps(t *testing.T) {
	for name, callback := range map[string]func(*gorm.DB){
		"error":   func(db *gorm.DB) { _ = db.AddError(errors.New("refused")) },
		"dry run": func(db *gorm.DB) { db.DryRun = true },
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, db *gorm.DB) {
				row := db.Callback().Row()
				if err := row.Before("gorm:row").Register("test:refuse", callback); err != nil {
					t.Fatal(err)
				}
				r := withOptions(t, db)
				for run := 0; run < 2; run++ {
					if err := r.Migrate(context.Background()); err != nil {
						t.Fatal(err)
					}
				}
				if err := row.Remove("test:refuse"); err != nil {
					t.Fatal(err)
				}
				exercise(t, db)
			})
		})
	}
}
