package servers

import "os/exec"

// A Host is where a server or worker runs.
type Host struct {
	Namespace string // of the network; that of this process if empty
	Address   string
}

// loopback is the Host of a server that is given none.
var loopback = Host{Address: "127.0.0.1"}

// enter makes cmd run in the namespace, which takes root, and then as the user.
func (h Host) enter(cmd *exec.Cmd, user string) {
	if h.Namespace == "" {
		return
	}
	cmd.SysProcAttr.Credential = nil
	inside := exec.Command("ip", append([]string{"netns", "exec", h.Namespace, "setpriv", "--reuid=" + user, "--regid=" + user,
		"--init-groups", "--pdeathsig=KILL"}, cmd.Args...)...)
	cmd.Path, cmd.Args = inside.Path, inside.Args
}
