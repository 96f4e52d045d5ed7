#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# stokerctl exec in a real guest: streams, exit codes, users, directories, environment, several at
# once, terminals, clients that go, and who may.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

# run NAME EXIT_CODE OUTPUT ERRORS ARGUMENTS...: of `stokerctl exec`, whose input is $work/input.
run() {
	name=$1 code=$2 output=$3 errors=$4
	shift 4
	ctl exec "$@" <"$work/input" >"$work/out" 2>"$work/err"
	is "$name" "$? $(cat "$work/out") $(cat "$work/err")" "$code $output $errors"
}

# as UID GID COMMAND...: somebody who is not root, in no other groups.
as() {
	uid=$1 gid=$2
	shift 2
	setpriv --reuid="$uid" --regid="$gid" --clear-groups \
		"$STOKER_BUILD/stokerctl" -c "$ini" "$@" 2>&1
}

is_gone() {
	! ctl exec acme/web -- pidof "$1"
}

# sleepers COUNT: processes of that program, the workload's among them.
sleepers() {
	[ "$(ctl exec acme/web -- sh -c 'pidof sleep | wc -w')" = "$1" ]
}

lib_host exec 898000
busybox_root "$work/root"
printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n' >"$work/root/etc/passwd"
printf 'root:x:0:\napp:x:1000:\n' >"$work/root/etc/group"
oci_image "$work/image" "$work/root" \
	'{"Entrypoint":["sleep","1000000"],"Env":["PATH=/bin","FROM_IMAGE=yes"],"WorkingDir":"/etc"}'
# Groups of this host, by their numbers' names: whoever runs the test need not make any.
operators=$(getent group 65534 | cut -d: -f1)
cat >"$fleet/a.yaml" <<-YAML
	tenants:
	  acme:
	    subnets: [10.20.0.0/24]
	    operators: [no-such-group, $operators]
	    vms:
	      web:
	        image: oci:$work/image
	        user: app
	  globex:
	    subnets: [10.30.0.0/24]
	    vms:
	      idle:
	        image: oci:$work/none
YAML
chmod 755 "$work" "$fleet"
chmod 644 "$ini"
start_daemon
wait_for 120 phase_is acme/web running || { tail -n 20 "$work/daemon.log"; exit 1; }

# --- streams and ends -----------------------------------------------------------------------------

: >"$work/input"
run 'the environment, directory and user are the workload'"'"'s' 0 '1000 /etc yes 0' '' acme/web -- \
	sh -c 'echo "$(id -u) $PWD $FROM_IMAGE $(wc -c)"'
run 'others that are asked for' 0 '0 /bin yes one two /root' '' -u root -w /bin -e A=one -e 'B=two' acme/web -- \
	sh -c 'echo "$(id -u) $PWD $FROM_IMAGE $A $B $HOME"'
run 'output and errors stay apart, the exit code is its own' 7 out err acme/web -- \
	sh -c 'echo out; echo err >&2; exit 7'
run 'a signal is 128 and its number' 137 '' '' acme/web -- sh -c 'kill -KILL $$'
run 'what is not there' 125 '' "stokerctl: cannot run 'nothing-of-this-name': not found in the image's PATH (/bin)" \
	acme/web -- nothing-of-this-name
run 'a user that is not there' 125 '' "stokerctl: user 'nobody-here' is not in the image's /etc/passwd" \
	-u nobody-here acme/web -- true
run 'a directory that is not there' 125 '' "stokerctl: working directory '/none': No such file or directory" \
	-w /none acme/web -- true
run 'a VM that does not exist' 125 '' "stokerctl: no VM is named 'acme/none' (see stokerctl status)" \
	acme/none -- true
run '-t without a terminal' 125 '' 'stokerctl: -t: the standard input is not a terminal' -t acme/web -- sh

head -c 3000000 /dev/urandom >"$work/input"
ctl exec -i acme/web -- cat <"$work/input" >"$work/out"
is 'three megabytes there and back' "$(cksum <"$work/out")" "$(cksum <"$work/input")"
is 'what nobody reads is dropped' "$(ctl exec -i acme/web -- sh -c 'exec 0<&-; echo closed' <"$work/input")" closed
is 'more than a reader takes' "$(ctl exec acme/web -- yes | head -n 3 | tr '\n' ' ')" 'y y y '

for n in 1 2 3 4 5 6; do
	echo "input $n" | ctl exec -i acme/web -- sh -c 'read line; sleep 1; echo "$line"; exit '$n >"$work/out.$n" &
	eval "pid$n=$!"
done
together=
for n in 1 2 3 4 5 6; do
	eval "wait \$pid$n"
	together="$together$? $(cat "$work/out.$n"), "
done
is 'six at once' "$together" '1 input 1, 2 input 2, 3 input 3, 4 input 4, 5 input 5, 6 input 6, '

# --- clients that go ------------------------------------------------------------------------------

# client PROGRAM [-i] WORDS...: in the background, as $client, once PROGRAM runs in the guest; with -i,
# input without end.
client() {
	program=$1 streams='' input=/dev/null
	shift
	[ "$1" != -i ] || { streams=-i input=/dev/zero; shift; }
	"$STOKER_BUILD/stokerctl" -c "$ini" exec $streams acme/web -- "$@" >/dev/null 2>&1 <"$input" &
	client=$!
	wait_for 60 ctl exec acme/web -- pidof "$program"
}

client tail tail -f /dev/null
kill -KILL "$client"
wait "$client" 2>/dev/null
ok 'a session ends with its client' wait_for 60 is_gone tail
client tail -i tail -f /dev/null
kill -KILL "$client"
wait "$client" 2>/dev/null
ok 'also one whose input waits' wait_for 60 is_gone tail
client tail sh -c 'sleep 100 & tail -f /dev/null & wait'
kill -KILL "$client"
wait "$client" 2>/dev/null
ok 'all that it had started ends with it' wait_for 60 is_gone tail
client tail tail -f /dev/null
kill -TERM "$client"
wait "$client"
is 'a signal goes to the program' "$?" 143
client tail sh -c 'trap "exit 9" USR1; tail -f /dev/null & while :; do wait; done'
kill -USR1 "$client"
wait "$client"
is 'which decides' "$?" 9
wait_for 60 is_gone tail
run 'detached: it is left alone' 0 '' '' --detach acme/web -- sh -c 'tail -f /dev/null & echo from afar'
ok 'and speaks to the log' wait_for 60 eval 'ctl logs -n 0 acme/web | grep -q "stdout from afar"'
wait_for 60 ctl exec acme/web -- pidof tail
is 'and runs, also what it had started, while others come and go' \
	"$(ctl exec acme/web -- true && ctl exec acme/web -- pidof tail >/dev/null && echo yes)" yes

# --- a terminal -----------------------------------------------------------------------------------

cat >"$work/terminal.pl" <<-'PERL'
	# terminal.pl STOKERCTL INI: exec -it on a terminal of 100x30, then 80x24; ^C; vi; the exit code.
	use strict;
	use warnings;
	use POSIX ();
	my ($program, $ini) = @ARGV;
	my $bytes = '';
	open(my $master, '+<', '/dev/ptmx') or die;
	my $n = pack('i', 0);
	ioctl($master, 0x40045431, $n) or die;				# TIOCSPTLCK
	ioctl($master, 0x80045430, $n) or die;				# TIOCGPTN
	my $path = '/dev/pts/' . unpack('i', $n);
	sub size { my $s = pack('S4', @_, 0, 0); ioctl($master, 0x5414, $s) or die }	# TIOCSWINSZ
	size(30, 100);
	my $pid = fork // die;
	if (!$pid) {
		POSIX::setsid();
		open(STDIN, '+<', $path) or die;
		ioctl(STDIN, 0x540e, my $steal = 0) or die;		# TIOCSCTTY
		open(STDOUT, '>&', \*STDIN);
		open(STDERR, '>&', \*STDIN);
		exec $program, '-c', $ini, 'exec', '-it', 'acme/web', '--', 'sh';
	}
	sub await {
		my ($text) = @_;
		local $SIG{ALRM} = sub { print "waited for $text in vain: $bytes\n"; kill 'KILL', $pid; exit 1 };
		alarm 120;
		while ($bytes !~ s/^.*?\Q$text\E//s) {
			sysread($master, $bytes, 4096, length $bytes) or die "ended before $text: $bytes\n";
		}
		alarm 0;
	}
	sub type { syswrite $master, $_[0] }
	# busybox asks where the cursor is when it is ready to read a line, and what was typed before is lost
	# where it changes the terminal's mode.
	sub prompted { await("\e[6n") }
	prompted();
	type("echo si''ze \$(stty size) \$TERM\r");
	await('size 30 100 tested');
	prompted();
	size(24, 80);
	type("echo si''ze \$(while [ \"\$(stty size)\" = '30 100' ]; do sleep 1; done; stty size)\r");
	await('size 24 80');
	prompted();
	type("echo re''ady; cat\r");	# said when the terminal's mode is the one for cat
	await('ready');
	type("twice\r");
	await('twice') for 1, 2;	# once by the terminal, once by cat: it is there, and gets the ^C
	type("\x03");
	prompted();
	type("echo en''ded by \$?, \$(tty)\r");
	await('ended by 130, /dev/pts/');
	prompted();
	type("vi /tmp/text\r");
	await('- /tmp/text');
	type('i');
	await('I /tmp/text');
	type("written by vi\e");	# nothing may follow an escape at once: it would be one key with it
	await('- /tmp/text');
	type(":wq\r");
	prompted();
	type("echo fi''le: \$(cat /tmp/text)\r");
	await('file: written by vi');
	prompted();
	type("exit 42\r");
	waitpid $pid, 0;
	print 'exit code ', $? >> 8, "\n";
PERL
is 'a terminal: its size, a new one, ^C, vi, the exit code' \
	"$(TERM=tested perl "$work/terminal.pl" "$STOKER_BUILD/stokerctl" "$ini")" 'exit code 42'

# --- who may --------------------------------------------------------------------------------------

is 'an operator, in the tenant of theirs' "$(as 12345 65534 exec acme/web -- echo mine)" mine
is 'sees that tenant alone' "$(as 12345 65534 status | sed -n 's/^\([a-z]*\/[a-z]*\).*/\1/p')" acme/web
like 'reads its logs' "$(as 12345 65534 logs -n 0 acme/web)" 'from afar'
is 'but does not restart it' "$(as 12345 65534 restart acme/web)" \
	"stokerctl: user 12345 may not ask for 'restart' of acme/web (see stokerctl(8), ACCESS)"
is 'nor looks at another' "$(as 12345 65534 logs globex/idle)" \
	"stokerctl: user 12345 may not ask for 'logs' of globex/idle (see stokerctl(8), ACCESS)"
like 'somebody else may nothing' "$(as 12345 12345 exec acme/web -- id)" 'stokerctl: user 12345 may not use stokerd'
like 'each is logged: who' "$(cat "$work/daemon.log")" 'acme/web: exec by ? (uid 12345, pid '
like 'and what' "$(cat "$work/daemon.log")" '): echo mine'
like 'and how it ended' "$(cat "$work/daemon.log")" ': ended by exit code 42'

# --- the daemon, the VM ---------------------------------------------------------------------------

"$STOKER_BUILD/stokerctl" -c "$ini" exec acme/web -- sleep 1000 >"$work/out" 2>"$work/err" &
client=$!
ok 'another session' wait_for 60 sleepers 2
kill -KILL "$daemon_pid"
wait "$daemon_pid" 2>/dev/null
wait "$client"
is 'the daemon is killed: so is the session' "$? $(cat "$work/err")" \
	'125 stokerctl: stokerd closed the connection: the session ended with it'
start_daemon
wait_for 60 phase_is acme/web running
ok 'in the guest too' wait_for 60 sleepers 1
is 'what was detached goes on' "$(ctl exec acme/web -- pidof tail >/dev/null && echo yes)" yes
"$STOKER_BUILD/stokerctl" -c "$ini" exec acme/web -- sh -c 'echo here; sleep 1000' >"$work/out" 2>"$work/err" &
client=$!
wait_for 60 grep -q here "$work/out"
ctl restart acme/web
wait "$client"
is 'the VM ends: so does the session' "$? $(cat "$work/err")" '125 stokerctl: the VM ended, or its channel was lost'
rm "$fleet"/*
ok 'all is removed' ctl reload
stop_daemon
is 'the daemon ends with 0' $? 0
is 'nothing is left behind' "$(left_behind 898000)" ''
done_testing
