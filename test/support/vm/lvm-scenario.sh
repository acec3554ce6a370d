# Runs in the virtual machine of virtual-machine.ts, whose test has set TREE (a server, not running), CLI (node and the
# program), SLOWLY (bytes a second) and WHOLE (empty: what takes longest is left out). /dev/vda is an empty disk. Each
# line "proved: …" is a promise kept.
set -u
export CYRVAULT_STATE_DIR=/run/state CYRVAULT_CACHE_DIR= NO_COLOR=1
repo=/run/repository
config=$TREE/etc/imapd.conf

fail() { echo "FAILED: $*"; lvs -a -o name,attr,data_percent,tags; grep cyrvault /proc/mounts; cat /run/out /run/state/*; exit 1; }
proved() { echo "proved: $* ($(cut -d' ' -f1 /proc/uptime) s)"; }
# $1: the exit code that is due.
cyrvault() { local due=$1; shift; $CLI --repo $repo "$@" >/run/out 2>&1; local code=$?; [ $code = "$due" ] || fail "cyrvault $* ended with $code, not $due"; }
nothing_left() {
  ! lvs --noheadings -o name,tags | grep -q cyrvault || fail "a volume is left after: $*"
  ! grep -q /run/cyrvault /proc/mounts || fail "a mount is left after: $*"
  [ -z "$(ls /run/cyrvault 2>/dev/null)" ] || fail "a directory is left after: $*"
  ! find /run/state -name '*.held' -size +0 | grep -q . || fail "something is written down after: $*"
}
# Waits so many seconds and starts no program: each takes this machine's time from the one that is waited for.
pause() { read -rt "$1" <>/run/pause; }
# Until both snapshots are mounted and $pid, who reads them, is made to wait: however slow this machine is.
mounted() {
  local deadline=$((SECONDS + 3000)) line count
  while [ $SECONDS -lt $deadline ] && kill -0 $pid 2>/dev/null; do
    count=0
    while read -r line; do case $line in *" /run/cyrvault"*) count=$((count + 1)) ;; esac; done </proc/mounts
    [ $count = 2 ] && kill -STOP $pid && return
    pause 0.1
  done
  cp /run/first /run/out
  fail "nothing was mounted"
}
# $1: the exit code that is due; $2: of what.
goes_on() { kill -CONT $pid; wait $pid; local code=$?; cp /run/first /run/out; [ $code = "$1" ] || fail "$2 ended with $code, not $1"; }
backups() { ls $repo/backups | wc -l; }

mkfifo /run/pause
pvcreate -q /dev/vda >/dev/null && vgcreate -q vg /dev/vda >/dev/null || fail "no volume group"
lvcreate -q -L 96M -n conf vg >/dev/null && mkfs.ext4 -q /dev/vg/conf || fail "no ext4"
lvcreate -q -L 320M -n spool vg >/dev/null && mkfs.xfs -q /dev/vg/spool || fail "no XFS"
if [ -n "$WHOLE" ]; then
  lvcreate -q -L 400M -T vg/pool >/dev/null 2>&1 && lvcreate -q -V 96M -T vg/pool -n thinconf >/dev/null 2>&1 &&
    lvcreate -q -V 320M -T vg/pool -n thinspool >/dev/null 2>&1 && mkfs.ext4 -q /dev/vg/thinconf && mkfs.xfs -q /dev/vg/thinspool || fail "no thin volumes"
fi
original=/run/original; cp -a "$TREE" $original
# $1: the volume on which the server lies from now on; $2: that of its mail.
settle() {
  umount "$TREE/spool" 2>/dev/null; umount "$TREE" 2>/dev/null
  mount "/dev/vg/$1" "$TREE" && mkdir -p "$TREE/spool" && mount "/dev/vg/$2" "$TREE/spool" &&
    cp -a "$original/." "$TREE/" || fail "no server on $1 and $2"
  sync
}
# The restored server is the one of the moment of the view.
same_as_original() {
  rm -rf /run/restored; cyrvault 0 restore latest --server "$1" --target /run/restored
  for name in conf spool spool2 sieve; do
    # What Cyrus makes anew by itself no backup keeps.
    diff -r --exclude=tls_sessions.db --exclude=deliver.db --exclude=statuscache.db "$original/$name" "/run/restored$TREE/$name" >/run/diff 2>&1 || { cp /run/diff /run/out; fail "the restored $name differs"; }
  done
}
victim=
change() { victim=$(find "$TREE/spool" -name '1.' | head -1); rm "$victim"; echo new > "$TREE/spool/new"; sync; }
undo_change() { cp -a "$original${victim#"$TREE"}" "$victim"; rm "$TREE/spool/new"; sync; }

cyrvault 0 init --no-encryption
settle conf spool
proved "a server on two volumes"

slowly="--read-limit $SLOWLY --threads 1"
$CLI --repo $repo backup --config "$config" --server vm --snapshot lvm --snapshot-size 32M $slowly --json >/run/first 2>&1 & pid=$!
mounted
grep /run/cyrvault /proc/mounts | grep -q 'xfs ro,.*nouuid' || fail "XFS is not mounted as it should be"
! grep /run/cyrvault /proc/mounts | grep -Eq 'norecovery|noload| rw,' || fail "a journal is not replayed"
change
if [ -n "$WHOLE" ]; then
  cyrvault 11 backup --config "$config" --server vm --snapshot lvm --snapshot-size 32M
  [ "$(lvs --noheadings -o tags | grep -c cyrvault)" = 2 ] || fail "the second start has made a snapshot"
  proved "a second start ends with 11 and makes no snapshot"
fi
goes_on 0 "the backup"
grep -q '"snapshot":"lvm"' /run/first || fail "the result does not name the view"
nothing_left "a backup"
same_as_original vm
undo_change
proved "thick: snapshot, mount, back up, unmount, remove; what is restored is of the moment of the view"

before=$(backups)
$CLI --repo $repo backup --config "$config" --server other --snapshot lvm --snapshot-size 8M $slowly >/run/first 2>&1 & pid=$!
mounted
dd if=/dev/urandom of="$TREE/spool/filler" bs=1M count=24 conv=fsync 2>/dev/null
goes_on 1 "the backup from a snapshot that overflowed"
grep -Eq 'overflowed|% full' /run/first || fail "it does not say why"
[ "$(backups)" = "$before" ] || fail "it was committed"
nothing_left "an overflow"
rm "$TREE/spool/filler"; sync
proved "a snapshot that overflows: stopped, nothing committed, nothing left"

$CLI --repo $repo backup --config "$config" --server third --snapshot lvm --snapshot-size 32M $slowly >/run/first 2>&1 & pid=$!
mounted
kill -9 $pid; wait $pid 2>/dev/null
[ "$(lvs --noheadings -o tags | grep -c cyrvault)" = 2 ] || fail "the killed one held nothing"
# Nothing has changed since the first backup of this name: little is left to read.
cyrvault 0 backup --config "$config" --server vm --snapshot none
nothing_left "a kill and the next start"
proved "SIGKILL in between: the next start leaves nothing behind"

[ -n "$WHOLE" ] || exit 0

cyrvault 2 backup --config "$config" --server vm --snapshot lvm --snapshot-size 32M --cache-dir "$TREE/spool/cache"
nothing_left "a refusal"
proved "the cache on a volume that is frozen is refused"

settle thinconf thinspool
$CLI --repo $repo backup --config "$config" --server thin --snapshot lvm $slowly --json >/run/first 2>&1 & pid=$!
mounted
change
goes_on 0 "the backup of thin volumes"
nothing_left "a thin backup"
same_as_original thin
undo_change
proved "thin: activated, mounted, backed up, removed; of the moment of the view"

dd if=/dev/urandom of="$TREE/spool/filler" bs=1M count=240 conv=fsync 2>/dev/null
dd if=/dev/urandom of="$TREE/conf/filler" bs=1M count=40 conv=fsync 2>/dev/null
cyrvault 1 backup --config "$config" --server thin --snapshot lvm
grep -q 'thin pool vg/pool is' /run/out || fail "it does not name the pool"
nothing_left "a full pool"
proved "a pool that is over 80 % full is refused"
echo "all proved"
