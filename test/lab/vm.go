// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Emulation on two busy cores is slow, and a watchdog that bites a slow machine
// is worse than none. vmQuiet bounds the time without a word from the agent
// while the system boots, job.Timeout all of a run.
const (
	vmQuiet   = 8 * time.Minute
	vmTimeout = 40 * time.Minute
)

// cmdVMStage is cmdStage for the faithful lane.
func cmdVMStage(args []string) error {
	var j job
	if err := json.Unmarshal([]byte(args[0]), &j); err != nil {
		return err
	}
	dir := mountpoint()
	if err := scratch(dir); err != nil {
		return err
	}
	disk := filepath.Join(dir, "disk")
	if err := j.makeDisk(filepath.Join(dir, "root"), disk); err != nil {
		return err
	}
	socket := filepath.Join(dir, "port")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	suite, err := findSuite(j.Suite)
	if err != nil {
		return err
	}
	deadline := time.After(j.timeout())
	kernel := ""
	var failed error // what an earlier boot's command ended with
	for boot := 1; ; boot++ {
		vm := &vm{job: &j, boot: boot, deadline: deadline, console: newConsole()}
		qemu, stop := j.qemuArgs(suite, disk, socket, kernel), func() {}
		if suite.tpm {
			tpm, end, err := startTPM(dir)
			if err != nil {
				return err
			}
			qemu, stop = append(qemu, tpm...), end
		}
		again, err := vm.run(listener, qemu)
		stop()
		var status *statusError
		if err != nil && !errors.As(err, &status) {
			fmt.Fprintf(os.Stderr, "--- the VM's console, its last lines:\n%s\n---\n", vm.console.tail(60))
		}
		if !again {
			return cmp.Or(err, failed)
		}
		kernel, failed = vm.nextKernel, cmp.Or(failed, vm.failed)
	}
}

// vmCPU is no newer than the suites need. With cx16 guests die at random, of a
// double fault; with avx (part of "max" since qemu 7.2) strings get mangled.
const vmCPU = "qemu64,cx16=off,svm=off,+rdrand,+sse4.1,+sse4.2,+ssse3,+popcnt"

// slowModules are what udev finds for the emulated hardware and nothing here
// uses; unpacking and verifying them takes seconds under emulation.
var slowModules = []string{
	"aesni_intel", "ghash_clmulni_intel", "crct10dif_pclmul", "crc32_pclmul", "polyval_clmulni",
	"sha1_ssse3", "sha256_ssse3", "sha512_ssse3", "ahci", "i2c_i801", "lpc_ich", "pcspkr",
	"evdev", "serio_raw", "psmouse", "button", "qemu_fw_cfg", "efi_pstore", "drm", "iTCO_wdt",
}

// slowUnits would hang the console up, or take seconds of a boot for what no
// test asks for.
var slowUnits = []string{
	"serial-getty@ttyS0.service", "getty.target", "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_reap.service", "e2scrub_all.timer",
	"dpkg-db-backup.timer", "fstrim.timer", "modprobe@dm_mod.service", "modprobe@loop.service", "modprobe@efi_pstore.service", "modprobe@drm.service",
	"modprobe@configfs.service", "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-pstore.service",
	"modprobe@fuse.service", "sys-fs-fuse-connections.mount", "dev-hugepages.mount", "dev-mqueue.mount", "systemd-udev-load-credentials.service",
	"systemd-random-seed.service", "systemd-remount-fs.service",
	// It is told of every unit at each reload, which is a seventh of a reload's time.
	"systemd-logind.service",
}

// makeDisk builds the root file system for one run: copying and mke2fs take a
// second, which a boot under emulation does not notice, and an image that was
// never mounted needs no cleaning.
func (j *job) makeDisk(root, disk string) error {
	for _, part := range []string{j.Root, j.Root + "/../modules"} {
		if err := quietly(nil, "cp", "-a", part+"/.", root); err != nil {
			return err
		}
	}
	if err := j.fillRoot(root); err != nil {
		return err
	}
	config, err := json.Marshal(j)
	if err != nil {
		return err
	}
	err = writeFiles(root, map[string]string{
		agentDir + "/job.json":                       string(config),
		"etc/systemd/system/unitc-lab-agent.service": agentUnit,
		// Naming /dev/vda there would make the boot wait for udev to have seen it.
		"etc/fstab":                     "",
		"etc/modprobe.d/unitc-lab.conf": "blacklist " + strings.Join(slowModules, "\nblacklist ") + "\n",
		// All other devices than these, which udev would look at for ten seconds, are
		// there without it.
		"etc/systemd/system/systemd-udev-trigger.service.d/unitc-lab.conf": "[Service]\nExecStart=\nExecStart=udevadm trigger --action=add --subsystem-match=block --subsystem-match=net --subsystem-match=tpm --subsystem-match=tpmrm\n",
		// Two emulated machines on a busy host boot a hundred times slower than hardware.
		"etc/systemd/system.conf.d/unitc-lab.conf": "[Manager]\nDefaultTimeoutStartSec=10min\n",
	})
	if err != nil {
		return err
	}
	if err := quietly(nil, "cp", j.Agent, root+agentDir+"/lab"); err != nil {
		return err
	}
	wants := filepath.Join(root, "etc/systemd/system/multi-user.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		return err
	}
	if err := os.Symlink("../unitc-lab-agent.service", wants+"/unitc-lab-agent.service"); err != nil {
		return err
	}
	if err := errors.Join(mask(root, "system", slowUnits...), maskGenerators(root)); err != nil {
		return err
	}
	if err := quietly(nil, "/sbin/mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=1", "-d", root, disk, "4G"); err != nil {
		return err
	}
	return os.RemoveAll(root)
}

func (j *job) qemuArgs(s suite, disk, socket, kernel string) []string {
	dir := filepath.Dir(j.Root)
	// Where two emulated processors run, one may run what the other has just patched
	// away in the kernel's code, and the kernel panics. So one of the two that tests
	// of cpuset need stays off.
	// panic=0 lets a crashed kernel stand still, to be seen by watch. The emulator
	// translates code once for each address at which it runs: where all processes have
	// the same, a program starts four times as fast.
	program, machine, console := "qemu-system-x86_64", []string{"-machine", "q35,sata=off,smbus=off,usb=off,vmport=off", "-cpu", vmCPU}, "ttyS0"
	if s.isForeign() {
		program, machine = foreignVM()
		console = "ttyAMA0"
	}
	// What the kernel does against other processors' faults, and its zeroing of all
	// memory that it hands itself, are instructions that no test asks for. Each
	// character on the console is one that the emulator stops for; a panic is not quiet.
	cmdline := "maxcpus=1 norandmaps mitigations=off init_on_alloc=0 quiet console=" + console + " rootfstype=ext4 root=/dev/vda rw panic=0 systemd.journald.forward_to_console=0"
	if kernel != "" {
		cmdline += " " + kernel
	}
	if j.Instructions {
		machine = append(machine, "-icount", "shift=0")
	}
	return append([]string{
		program, "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
		"-smp", "2", "-m", "2048",
		"-no-reboot", // see vm
		"-accel", "tcg,thread=single",
		"-kernel", dir + "/vmlinuz", "-initrd", dir + "/initrd", "-append", cmdline,
		"-drive", "file=" + disk + ",format=raw,if=none,id=root,cache=unsafe",
		"-device", "virtio-blk-pci,drive=root",
		"-device", "virtio-serial-pci",
		"-chardev", "socket,id=lab,path=" + socket,
		"-device", "virtserialport,chardev=lab,name=" + portName,
	}, machine...)
}

// vm is one boot. Each has a qemu of its own: after a reset inside, translated
// code of the boot before makes the emulation ten times slower.
type vm struct {
	job      *job
	boot     int
	deadline <-chan time.Time
	console  *console
	// nextKernel is what the next boot's kernel is told beside the usual.
	nextKernel string
	failed     error // its command's end, where another boot follows
}

// run boots the disk and follows the machine until the command has finished or,
// when another boot is to come, until the machine has gone down for it.
// Whatever else happens it returns, and with the stage qemu ends as well.
func (v *vm) run(listener net.Listener, args []string) (again bool, err error) {
	qemu := exec.Command(args[0], args[1:]...)
	qemu.Stdout, qemu.Stderr = v.console, v.console
	if v.job.Console {
		qemu.Stdout = io.MultiWriter(v.console, os.Stderr)
	}
	cgroup, err := os.Open(v.job.Cgroup)
	if err != nil {
		return false, err
	}
	defer cgroup.Close()
	qemu.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(cgroup.Fd())}
	if err := qemu.Start(); err != nil {
		return false, fmt.Errorf("starting qemu: %w", err)
	}
	died := make(chan error, 1)
	go func() { died <- qemu.Wait() }()
	frames := make(chan frame)
	conn, err := v.accept(listener, died)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	// What is typed goes as it is: only the agent's side needs frames.
	if v.job.Terminal {
		if err := makeRaw(os.Stdin); err != nil {
			return false, fmt.Errorf("preparing the terminal: %w", err)
		}
		go io.Copy(conn, os.Stdin)
	}
	go func() {
		receive(conn, func(f frame) bool { frames <- f; return true })
	}()
	return v.watch(frames, died)
}

// accept waits for qemu, which connects before it starts the guest.
func (v *vm) accept(listener net.Listener, died <-chan error) (net.Conn, error) {
	conns := make(chan net.Conn, 1)
	go func() {
		if conn, err := listener.Accept(); err == nil {
			conns <- conn
		}
	}()
	select {
	case conn := <-conns:
		return conn, nil
	case err := <-died:
		return nil, fmt.Errorf("qemu ended at once: %v", err)
	}
}

func (v *vm) watch(frames <-chan frame, died <-chan error) (again bool, err error) {
	quiet := time.NewTimer(vmQuiet)
	for {
		select {
		case f := <-frames:
			if f.Boot > 0 {
				quiet.Stop()
				if f.Boot != v.boot {
					return false, fmt.Errorf("boot %d of the VM: its disk says that it is boot %d", v.boot, f.Boot)
				}
			}
			if f.Done && f.Again {
				again, v.nextKernel = true, f.Kernel
				v.failed, _ = v.show(f)
				quiet.Reset(vmQuiet)
			} else if err, last := v.show(f); last {
				return false, err
			}
		case <-v.console.panics:
			return false, errors.New("the VM's kernel panicked")
		case err := <-died:
			if again {
				return true, nil
			}
			return false, fmt.Errorf("the VM went down by itself in boot %d: %v", v.boot, err)
		case <-quiet.C:
			return false, fmt.Errorf("boot %d of the VM: no word from it for %v", v.boot, vmQuiet)
		case <-v.deadline:
			return false, fmt.Errorf("the VM was not done after %v", v.job.timeout())
		}
	}
}

func (j *job) timeout() time.Duration {
	if j.Timeout > 0 {
		return j.Timeout
	}
	return vmTimeout
}

// show passes on what a frame holds and says whether it was the last one.
func (v *vm) show(f frame) (err error, last bool) {
	var w io.Writer = os.Stdout
	if f.Stream == 2 {
		w = os.Stderr
	}
	w.Write(f.Data)
	switch {
	case !f.Done:
		return nil, false
	case f.Fault != "":
		return errors.New("the VM's agent: " + strings.TrimSpace(f.Fault)), true
	case f.Exit != 0:
		return &statusError{f.Exit}, true
	}
	return nil, true
}
