package main

import (
	"sort"
	"time"
)

// figures summarize all rounds of a cell.
type figures struct {
	perSecond, low, high float64 // median, minimum and maximum
	p50, p99             time.Duration
	cpu                  time.Duration // of this process for one call: median of the rounds
	ratio                float64       // to the baseline: median of the rounds' ratios
	tail                 float64       // p99 over the baseline's
}

func summarize(samples map[cell][]sample, baseline string) map[cell]figures {
	all := map[cell]figures{}
	for c, rounds := range samples {
		var rates, ratios, cpu []float64
		var latencies []time.Duration
		base := samples[cell{baseline, c.operation, c.callers}]
		for i, s := range rounds {
			rates = append(rates, s.perSecond())
			ratios = append(ratios, s.perSecond()/base[i].perSecond())
			cpu = append(cpu, float64(s.cpu)/s.calls)
			latencies = append(latencies, s.latencies...)
		}
		sort.Float64s(cpu)
		sort.Float64s(rates)
		sort.Float64s(ratios)
		all[c] = figures{perSecond: median(rates), low: rates[0], high: rates[len(rates)-1],
			p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99),
			cpu: time.Duration(median(cpu)), ratio: median(ratios)}
	}
	for c, f := range all {
		f.tail = float64(f.p99) / float64(all[cell{baseline, c.operation, c.callers}].p99)
		all[c] = f
	}
	return all
}

// against returns the median of the rounds' ratios of one store to another.
func against(samples map[cell][]sample, one, other string, operation string, callers int) float64 {
	var ratios []float64
	base := samples[cell{other, operation, callers}]
	for i, s := range samples[cell{one, operation, callers}] {
		ratios = append(ratios, s.perSecond()/base[i].perSecond())
	}
	sort.Float64s(ratios)
	return median(ratios)
}

func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

func percentile(latencies []time.Duration, p float64) time.Duration {
	if len(latencies) == 0 {
		return 0
	}
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	return latencies[int(p*float64(len(latencies)-1))]
}
