/**
 * A virtual machine with a kernel of the distribution: for what the kernel of this machine may lack (device-mapper) and
 * what nobody wants to try on a real one. It sees this machine's files as they are; what it writes goes to its memory.
 * Software emulation: starting takes half a minute, and the rest is some ten times slower. (KVM where it is offered is no
 * help: in a container the device may be there and the guest hang for ever.)
 */
import { execFile, execFileSync, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { delimiter, dirname, join, relative } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** What it takes on this machine, by program; all are packages of Debian of that name but where said. */
const PROGRAMS = [
  "qemu-system-x86_64",
  "busybox",
  "cpio",
  "modprobe",
  "depmod",
  "apt-get",
  "dpkg-deb",
  "lvcreate",
  "mkfs.xfs",
];

/** Of the kernel's, with all that they depend on. */
const MODULES = [
  "virtio_pci",
  "virtio_blk",
  "9p",
  "9pnet_virtio",
  "overlay",
  "dm_mod",
  "dm_snapshot",
  "dm_thin_pool",
  "crc32c_generic",
  "ext4",
  "xfs",
];

const MEMORY_MB = 1536;
const EXIT_MARK = "the guest's script ended with";

export interface GuestOptions {
  /** Kept from run to run: the kernel's package and what is made of it. */
  readonly directory: string;
  /** For bash, as root. */
  readonly script: string;
  /** Of an empty disk, /dev/vda. */
  readonly diskMb: number;
  readonly timeoutMs: number;
  /** What appears on its console, as it comes. */
  readonly onOutput?: (text: string) => void;
}

export interface GuestResult {
  /** undefined: it did not come to its end. */
  readonly exitCode: number | undefined;
  /** All that appeared on its console. */
  readonly output: string;
}

/** What keeps this machine from running one; undefined: nothing. */
export function virtualMachineMissing(): string | undefined {
  const places = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  const lost = PROGRAMS.find((program) => !places.some((place) => existsSync(join(place, program))));
  return lost === undefined ? undefined : `${lost} is missing`;
}

export async function runInGuest({
  directory,
  script,
  diskMb,
  timeoutMs,
  onOutput = () => undefined,
}: GuestOptions): Promise<GuestResult> {
  mkdirSync(directory, { recursive: true });
  const kernel = await prepareKernel(directory);
  const work = join(directory, `run-${process.pid}`);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(join(work, "guest"), { recursive: true });
  try {
    writeFileSync(join(work, "guest/script"), script);
    // The kernel unpacks one archive after the other.
    await shell(
      `cd guest && echo script | cpio -o -H newc --quiet > ../script.cpio && cat ${kernel}/initrd.cpio ../script.cpio > ../initrd.cpio`,
      work,
    );
    writeFileSync(join(work, "disk"), "");
    truncateSync(join(work, "disk"), diskMb * 1024 * 1024);
    return await boot(kernel, work, timeoutMs, onOutput);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** @returns where `vmlinuz` and `initrd.cpio` are. */
async function prepareKernel(directory: string): Promise<string> {
  const { stdout } = await run("apt-cache", ["depends", "linux-image-amd64"]);
  const image = /Depends: (linux-image-\S+)/.exec(stdout)?.[1];
  if (image === undefined) throw new Error("apt does not know linux-image-amd64: apt-get update?");
  const kernel = join(directory, image);
  if (existsSync(join(kernel, "ready"))) return kernel;
  rmSync(kernel, { recursive: true, force: true });
  mkdirSync(kernel, { recursive: true });
  await run("apt-get", ["download", "-qq", image], { cwd: kernel });
  const archive = readdirSync(kernel).find((name) => name.endsWith(".deb"));
  if (archive === undefined) throw new Error(`apt has downloaded no ${image}`);
  await run("dpkg-deb", ["--extract", archive, "package"], { cwd: kernel });
  const release = image.slice("linux-image-".length);
  symlinkSync(`package/boot/vmlinuz-${release}`, join(kernel, "vmlinuz"));
  makeInitrd(kernel, release);
  await shell("cd initrd && find . | cpio -o -H newc --quiet > ../initrd.cpio", kernel);
  rmSync(join(kernel, archive));
  writeFileSync(join(kernel, "ready"), "");
  return kernel;
}

function makeInitrd(kernel: string, release: string): void {
  const unpacked = join(kernel, "package");
  const initrd = join(kernel, "initrd");
  execFileSync("depmod", ["-b", unpacked, release]);
  const order: string[] = [];
  for (const name of MODULES) {
    const shown = execFileSync("modprobe", ["-d", unpacked, "-S", release, "--show-depends", name], {
      encoding: "utf8",
    });
    for (const [, path = ""] of shown.matchAll(/^insmod (\S+)/gm))
      if (!order.includes(path)) order.push(path);
  }
  const inside = order.map((path) => join("/", relative(unpacked, path)));
  for (const [at, path] of order.entries()) {
    const to = join(initrd, inside[at] as string);
    mkdirSync(dirname(to), { recursive: true });
    cpSync(path, to);
  }
  mkdirSync(join(initrd, "bin"), { recursive: true });
  cpSync(
    execFileSync("sh", ["-c", "command -v busybox"], { encoding: "utf8" }).trim(),
    join(initrd, "bin/busybox"),
  );
  writeFileSync(join(initrd, "init"), initScript(inside), { mode: 0o755 });
}

/** From the first program to the script: this machine's files below, memory above, and a root of both. */
function initScript(modules: readonly string[]): string {
  return [
    "#!/bin/busybox sh",
    "/bin/busybox --install -s /bin",
    "mkdir -p /dev /proc /sys /below /above /both",
    "mount -t devtmpfs none /dev; mount -t proc none /proc; mount -t sysfs none /sys",
    ...modules.map((path) => `insmod ${path}`),
    "mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose host /below || poweroff -f",
    "mount -t tmpfs none /above; mkdir /above/upper /above/work",
    "mount -t overlay -o lowerdir=/below,upperdir=/above/upper,workdir=/above/work none /both || poweroff -f",
    "mount --move /proc /both/proc; mount --move /sys /both/sys; mount --move /dev /both/dev",
    "mount -t tmpfs none /both/run; mkdir -p /both/run/lvm /both/run/lock /both/etc/lvm; ip link set lo up",
    // There is no udev: LVM makes its device files itself.
    `printf 'activation { udev_sync=0 udev_rules=0 }\\ndevices { obtain_device_list_from_udev=0 scan=["/dev"] }\\n' > /both/etc/lvm/lvmlocal.conf`,
    "cp /script /both/run/script",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root chroot /both /bin/bash /run/script",
    `echo "${EXIT_MARK} $?"`,
    "sync; poweroff -f",
    "",
  ].join("\n");
}

async function boot(
  kernel: string,
  work: string,
  timeoutMs: number,
  onOutput: (text: string) => void,
): Promise<GuestResult> {
  const child = spawn(
    "qemu-system-x86_64",
    [
      // Emulated, programs are faster without the wide registers of newer processors.
      ...["-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-smp", "2", "-m", String(MEMORY_MB)],
      ...["-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot"],
      ...["-kernel", join(kernel, "vmlinuz"), "-initrd", join(work, "initrd.cpio")],
      ...["-append", "console=ttyS0 quiet panic=-1 mitigations=off"],
      ...["-drive", `file=${join(work, "disk")},format=raw,if=virtio,cache=unsafe`],
      ...["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"],
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let output = "";
  const collect = (bytes: Buffer) => {
    const text = bytes.toString("latin1").replaceAll("\r", "");
    output += text;
    onOutput(text);
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  clearTimeout(timer);
  const code = new RegExp(`^${EXIT_MARK} (\\d+)$`, "m").exec(output)?.[1];
  return { exitCode: code === undefined ? undefined : Number(code), output };
}

async function shell(command: string, cwd: string): Promise<void> {
  await run("sh", ["-ec", command], { cwd });
}
