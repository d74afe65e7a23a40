package main

import (
	"slices"
	"sort"
	"time"
)

// figures summarize all rounds of a cell.
type figures struct {
	perSecond, low, high float64 // median, minimum and maximum
	p50, p99             time.Duration
	cpu                  time.Duration // of this process for one call, as objects and bytes: medians of the rounds
	objects, bytes       float64
	cpuRatio             float64 // to the baseline: median of the rounds' ratios
	ratio                float64 // to the baseline: median of the rounds' ratios
	tail                 float64 // p99 over the baseline's
}

func summarize(samples map[cell][]sample, baseline string) map[cell]figures {
	all := map[cell]figures{}
	for c, rounds := range samples {
		var rates, ratios, cpu, cpuRatios, objects, bytes []float64
		var latencies []time.Duration
		base := samples[cell{baseline, c.operation, c.callers}]
		for i, s := range rounds {
			rates = append(rates, s.perSecond())
			ratios = append(ratios, s.perSecond()/base[i].perSecond())
			cpu = append(cpu, float64(s.cpu)/s.calls)
			cpuRatios = append(cpuRatios, float64(s.cpu)/s.calls*base[i].calls/float64(base[i].cpu))
			objects, bytes = append(objects, s.objects/s.calls), append(bytes, s.bytes/s.calls)
			latencies = append(latencies, s.latencies...)
		}
		all[c] = figures{perSecond: median(rates), low: slices.Min(rates), high: slices.Max(rates),
			p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99),
			cpu: time.Duration(median(cpu)), objects: median(objects), bytes: median(bytes),
			cpuRatio: median(cpuRatios), ratio: median(ratios)}
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
	return median(ratios)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
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
