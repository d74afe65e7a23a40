// Package netns joins network namespaces by links, and cuts, narrows and damages
// the links. It needs root and Linux.
package netns

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/servers"
)

// A Network is a set of hosts, each in a namespace of its own. This process reaches
// all of them over the same bridge, and no fault of this package affects that.
type Network struct {
	Hosts []servers.Host
	name  string // begins the names of all namespaces, and is that of the link to this process
}

// Refused is the error of a machine that does not let this process make namespaces.
type Refused struct{ Cause error }

func (e Refused) Error() string {
	return "no network namespaces: run as root, on a kernel and in a container that allow `ip netns add`, bridges and nftables: " + e.Cause.Error()
}

func (e Refused) Unwrap() error { return e.Cause }

// New makes a network of n hosts.
func New(n int) (*Network, error) {
	for program, pkg := range map[string]string{"ip": "iproute2", "tc": "iproute2", "nft": "nftables", "setpriv": "util-linux"} {
		_, err := exec.LookPath(program)
		_, beside := exec.LookPath("/usr/sbin/" + program) // not in everybody's PATH
		if err != nil && beside != nil {
			return nil, servers.NotInstalled{Server: program, Package: pkg}
		}
	}
	w := &Network{name: fmt.Sprintf("faults-%06x", rand.IntN(1<<24))}
	if err := w.make(n); err != nil {
		return nil, errors.Join(Refused{err}, w.Close())
	}
	return w, nil
}

// make makes the bridge, in a namespace that no firewall of this machine affects,
// and links it to this process and to the hosts.
func (w *Network) make(n int) error {
	// 198.18.0.0/15 is for tests of networks: RFC 2544.
	subnet := fmt.Sprintf("198.%d.%d.", 18+rand.IntN(2), rand.IntN(256))
	hub := w.name + "-hub"
	if err := all(
		"ip netns add "+hub,
		"ip -n "+hub+" link add bridge type bridge",
		"ip -n "+hub+" link set bridge up",
		"ip link add "+w.name+" type veth peer name root netns "+hub,
		"ip -n "+hub+" link set root master bridge up",
		"ip address add "+subnet+"254/24 dev "+w.name,
		"ip link set "+w.name+" up",
	); err != nil {
		return err
	}
	for i := range n {
		h := servers.Host{Namespace: fmt.Sprintf("%s-%d", w.name, i+1), Address: subnet + strconv.Itoa(i+1)}
		w.Hosts = append(w.Hosts, h)
		link := fmt.Sprintf("link%d", i+1)
		in := "ip netns exec " + h.Namespace + " "
		if err := all(
			"ip netns add "+h.Namespace,
			"ip -n "+hub+" link add "+link+" type veth peer name eth0 netns "+h.Namespace,
			"ip -n "+hub+" link set "+link+" master bridge up",
			"ip -n "+h.Namespace+" address add "+h.Address+"/24 dev eth0",
			"ip -n "+h.Namespace+" link set eth0 up",
			"ip -n "+h.Namespace+" link set lo up",
			in+"nft add table inet faults",
			in+"nft add chain inet faults input { type filter hook input priority 0 ; }",
		); err != nil {
			return err
		}
	}
	return nil
}

// Cut drops all that one host sends to the other.
func (w *Network) Cut(from, to servers.Host) error {
	return all("ip netns exec " + to.Namespace + " nft add rule inet faults input ip saddr " + from.Address + " counter drop")
}

// Part drops all between two sides of the network.
func (w *Network) Part(side, other []servers.Host) (err error) {
	for _, a := range side {
		for _, b := range other {
			err = errors.Join(err, w.Cut(a, b), w.Cut(b, a))
		}
	}
	return err
}

// Lose drops packets between any two hosts, at random.
func (w *Network) Lose(percent int) (err error) {
	for _, to := range w.Hosts {
		for _, from := range w.Hosts {
			err = errors.Join(err, all(fmt.Sprintf("ip netns exec %s nft add rule inet faults input ip saddr %s numgen random mod 100 < %d counter drop",
				to.Namespace, from.Address, percent)))
		}
	}
	return err
}

// Narrow limits what a host sends, to a rate as tc understands it.
func (w *Network) Narrow(h servers.Host, rate string) error {
	return all("tc -n " + h.Namespace + " qdisc add dev eth0 root tbf rate " + rate + " burst 16kb latency 100ms")
}

var hits = regexp.MustCompile(`(?:packets|overlimits) (\d+)`)

// Hit counts the packets that were dropped or held back since the network was whole.
func (w *Network) Hit() (packets int) {
	for _, h := range w.Hosts {
		rules, _ := exec.Command("ip", "netns", "exec", h.Namespace, "nft", "list", "chain", "inet", "faults", "input").Output()
		link, _ := exec.Command("tc", "-n", h.Namespace, "-s", "qdisc", "show", "dev", "eth0").Output()
		for _, m := range hits.FindAllSubmatch(append(rules, link...), -1) {
			n, _ := strconv.Atoi(string(m[1]))
			packets += n
		}
	}
	return packets
}

// Heal ends all faults.
func (w *Network) Heal() (err error) {
	for _, h := range w.Hosts {
		err = errors.Join(err, all("ip netns exec "+h.Namespace+" nft flush chain inet faults input"))
		_ = all("tc -n " + h.Namespace + " qdisc del dev eth0 root") // fails unless narrow
	}
	return err
}

// Close kills the processes in the network and removes it.
func (w *Network) Close() (err error) {
	for _, namespace := range w.namespaces() {
		for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
			pids, _ := exec.Command("ip", "netns", "pids", namespace).Output()
			if len(pids) == 0 {
				break
			}
			for _, pid := range strings.Fields(string(pids)) {
				if n, err := strconv.Atoi(pid); err == nil {
					_ = syscall.Kill(n, syscall.SIGKILL) // it may have ended
				}
			}
		}
		err = errors.Join(err, all("ip netns del "+namespace))
	}
	return err
}

func (w *Network) namespaces() (made []string) {
	entries, _ := os.ReadDir("/run/netns")
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), w.name+"-") {
			made = append(made, e.Name())
		}
	}
	return made
}

// all runs commands until one fails.
func all(commands ...string) error {
	for _, c := range commands {
		fields := strings.Fields(c)
		if text, err := exec.Command(fields[0], fields[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", c, err, strings.TrimSpace(string(text)))
		}
	}
	return nil
}
