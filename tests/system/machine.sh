#!/bin/bash
# machine.sh start FOLDER | in FOLDER COMMAND... | halt FOLDER | cut FOLDER        (as root)
#
# A machine for tests of the units: the real systemd of this host as process 1 of namespaces of its own, on an overlay of the host's
# root, so that nothing lands on the host. FOLDER holds what the machine is given:
#   etc/            copied over /etc
#   binds           lines "HOST-PATH MACHINE-PATH [ro]": what outlives the machine, or is too large to copy
# and gets `pid` and `boot.log`. `cut` is the power failing: every process ends at once. Needs systemd, dbus and util-linux.
set -euo pipefail

SYSTEMD=/usr/lib/systemd/systemd
MASKED="systemd-journald-audit.socket systemd-sysctl.service systemd-udevd.service systemd-udev-trigger.service
  systemd-timesyncd.service systemd-remount-fs.service systemd-firstboot.service systemd-binfmt.service systemd-pstore.service
  systemd-networkd.service proc-sys-fs-binfmt_misc.automount sys-kernel-config.mount sys-kernel-debug.mount
  sys-kernel-tracing.mount dev-hugepages.mount e2scrub_reap.service tmp.mount"

fail() { echo "machine.sh: $*" >&2; [ ! -s "$folder/boot.log" ] || tail -20 "$folder/boot.log" >&2; exit 1; }
is_ours() { [ "$(readlink "/proc/$1/exe" 2>/dev/null)" = $SYSTEMD ] && grep -qz "^MACHINE_FOLDER=$folder$" "/proc/$1/environ" 2>/dev/null; }
runs() { [ -s "$folder/pid" ] && is_ours "$(cat "$folder/pid")"; }
inside() { nsenter --target "$(cat "$folder/pid")" --mount --uts --ipc --net --pid --cgroup --root --wd "$@"; }

# The mount point and path of each hierarchy of control groups that this shell is in. Children of a cpuset begin unusable.
hierarchies() {
  local id controllers path point
  while IFS=: read -r id controllers path; do
    case $controllers in
      cpuset) continue ;;
      "") point=$(findmnt -nro TARGET -t cgroup2 | head -1) ;;
      *) point=/sys/fs/cgroup/${controllers#name=} ;;
    esac
    [ -z "$point" ] || [ ! -d "$point" ] || echo "$point${path%/}"
  done < /proc/self/cgroup
}

start() {
  runs && fail "it runs already"
  mkdir -p "$folder/root"
  : > "$folder/boot.log"
  local group
  for group in $(hierarchies); do mkdir -p "$group/machine-$$" && echo "$group/machine-$$"; done > "$folder/groups"
  setsid unshare --pid --mount --uts --ipc --net --fork --propagation private \
    bash "$0" --first "$folder" < /dev/null >> "$folder/boot.log" 2>&1 &
  local parent=$! first= tries
  for tries in $(seq 100); do
    first=$(tr -d ' ' < "/proc/$parent/task/$parent/children" 2>/dev/null || true)
    [ -n "$first" ] && break
    sleep 0.05
  done
  [ -n "$first" ] || fail "it did not start"
  echo "$first" > "$folder/pid"
  for tries in $(seq 1200); do
    [ -d "/proc/$first" ] || fail "process 1 ended"
    if is_ours "$first"; then case $(inside systemctl is-system-running 2>/dev/null || true) in running | degraded) return ;; esac; fi
    sleep 0.1
  done
  fail "it did not come up"
}

# Process 1, in two steps: into control groups of its own, then into a namespace that shows no others.
first() {
  local group
  while read -r group; do echo 0 > "$group/cgroup.procs"; done < "$folder/groups"
  exec unshare --cgroup bash "$0" --second "$folder"
}

second() {
  local root=$folder/root entry source target how controllers unit
  controllers=$(awk -F: '$2 != "" && $2 != "cpuset" {print $2}' /proc/self/cgroup)
  mount -t tmpfs -o mode=755,size=6g upper /mnt
  mkdir /mnt/upper /mnt/work
  mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work root "$root"
  mount -t proc proc "$root/proc"
  for entry in sys sysrq-trigger irq bus; do
    [ ! -e "$root/proc/$entry" ] || { mount --bind "$root/proc/$entry" "$root/proc/$entry"; mount -o remount,bind,ro "$root/proc/$entry"; }
  done
  mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
  mount -t tmpfs -o mode=755 groups "$root/sys/fs/cgroup"
  mkdir "$root/sys/fs/cgroup/unified"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
  for entry in $controllers; do
    mkdir -p "$root/sys/fs/cgroup/${entry#name=}"
    case $entry in name=*) how="none,$entry" ;; *) how=$entry ;; esac
    mount -t cgroup -o "$how" cgroup "$root/sys/fs/cgroup/${entry#name=}"
  done
  mount -t tmpfs -o mode=755,nosuid dev "$root/dev"
  for entry in null zero full random urandom tty; do : > "$root/dev/$entry"; mount --bind "/dev/$entry" "$root/dev/$entry"; done
  mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  mount -t tmpfs -o mode=1777,nosuid,nodev shm "$root/dev/shm"
  ln -s /proc/self/fd "$root/dev/fd"
  for entry in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${entry%:*}" "$root/dev/${entry#*:}"; done
  mount -t tmpfs -o mode=755,nosuid,nodev run "$root/run"
  mount -t tmpfs -o mode=1777 tmp "$root/tmp"
  find "$root/etc/systemd/system" -mindepth 2 -path '*.wants/*' -delete  # the host's own services stay out of it
  for unit in $MASKED; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done
  [ ! -d "$folder/etc" ] || cp -a "$folder/etc/." "$root/etc/"
  while read -r source target how; do
    mkdir -p "$root$target"
    mount --bind "$source" "$root$target"
    [ "$how" != ro ] || mount -o remount,bind,ro "$root$target"
  done < "$folder/binds"
  : > "$root/etc/fstab"
  : > "$root/etc/machine-id"
  cd "$root"
  mkdir -p mnt/old
  pivot_root . mnt/old
  cd /
  umount -l /mnt/old
  mount --make-rshared /  # as on a host: what a service is given as a credential is mounted by a child of systemd's
  exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 container=test MACHINE_FOLDER="$folder" \
    setpriv --bounding-set -sys_module,-sys_time,-sys_rawio,-syslog,-wake_alarm \
    $SYSTEMD --system --unit=multi-user.target --log-target=journal --show-status=no < /dev/null
}

leave() {
  local tries group process=
  if runs; then
    process=$(cat "$folder/pid")
    [ "$1" = cut ] || kill -s RTMIN+4 "$process"  # poweroff.target
    for tries in $(seq 150); do
      [ "$1" = cut ] && kill -9 "$process" 2>/dev/null
      is_ours "$process" || break
      sleep 0.1
    done
    ! is_ours "$process" || kill -9 "$process"
  fi
  rm -f "$folder/pid"
  while read -r group; do find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true; done < "$folder/groups"
}

[ $# -ge 2 ] || { sed -n '2s/^# //p' "$0"; exit 2; }
command=$1 folder=$2
shift 2
case $command in
  start) start ;;
  in) inside "$@" ;;
  halt | cut) leave "$command" ;;
  --first) first ;;
  --second) second ;;
  *) fail "no command is called $command" ;;
esac
