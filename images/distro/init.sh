#!/bin/sh
# The first process of the initial RAM disk: loads the modules that virtio
# needs, then goes on to the disk that root= names or, without one, does what
# the prepared image's init does: VIREO_EXEC or a shell, and power-off. See
# images/linux/init.c for the words and the markers.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root USER=root SHELL=/bin/sh
export PS1='\w # '

/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /run /tmp /root /mnt
mount -t devpts devpts /dev/pts

while read -r module; do
	insmod "/modules/$module.ko" || echo "init: can't load $module"
done </modules/order

root= mode=ro type= program=/sbin/init address=
for word in $(cat /proc/cmdline); do
	case $word in
	root=*) root=${word#root=} ;;
	rootfstype=*) type=${word#rootfstype=} ;;
	init=*) program=${word#init=} ;;
	ip=*) address=${word#ip=} ;;
	ro | rw) mode=$word ;;
	esac
done

if [ -n "$root" ]; then
	# The driver finds its disk a moment after it has been loaded.
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		case $root in
		*=*) device=$(findfs "$root" 2>/dev/null) ;;
		*) device=$root ;;
		esac
		[ -b "$device" ] && break
		sleep 0.1
	done
	mkdir /sysroot
	if mount -o "$mode" ${type:+-t "$type"} "$device" /sysroot; then
		mount --move /dev /sysroot/dev || umount -l /dev
		umount /sys /proc
		exec switch_root /sysroot "$program"
	fi
	echo "init: can't mount $root; a shell instead"
fi

# CLIENT::GATEWAY:NETMASK, the parts of ip= that a point-to-point TAP needs.
ifconfig lo 127.0.0.1 up 2>/dev/null
if [ -n "$address" ]; then
	IFS=: read -r client _ gateway netmask _ <<-END
		$address
	END
	ifconfig eth0 "$client" ${netmask:+netmask "$netmask"} up
	[ -z "$gateway" ] || route add default gw "$gateway"
fi

tell() {
	[ -z "$VIREO_NONCE" ] || printf '\033_vireo:%s:%s\033\\' "$VIREO_NONCE" "$1"
}

cd /root || cd /
if [ -n "$VIREO_EXEC" ]; then
	commands=$(printf '%b' "$VIREO_EXEC")
	unset VIREO_EXEC
	dmesg -n 1
	stty -opost -echo
	tell begin
	setsid sh -c "$commands" </dev/null
	tell "end:$?"
else
	[ -z "$VIREO_ROWS" ] || stty rows "$VIREO_ROWS" cols "$VIREO_COLS"
	tell ready
	# As the leader of a session ends, the kernel throws away what its
	# terminal has not sent yet; to set the terminal waits for that.
	setsid cttyhack sh -c 'sh; stty echo'
fi
stty opost
sync
umount -a -r 2>/dev/null
poweroff -f
