#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
#
# stokerctl as an operator sees it: the exact text and exit code of every command, against a daemon
# made of canned answers, and of every way to get the command line wrong.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Test::More;

my $tree  = abs_path(dirname(__FILE__) . '/../..');
my $build = $ENV{STOKER_BUILD} // "$tree/build";
my $ctl   = "$build/stokerctl";
my $dir   = tempdir('stoker-ctl-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $sock  = "$dir/control.sock";

delete @ENV{qw(NO_COLOR)};
$ENV{LC_ALL} = 'C';

sub slurp {
	my ($path) = @_;
	local $/;
	open(my $in, '<', $path) or die "$path: $!\n";
	return scalar(<$in>) // '';
}

# Among a command's arguments: its output and errors go to a terminal of 80 columns.
my $terminal = \'terminal';

# Exit code, standard output, standard error.
sub run {
	my (@args) = @_;
	my @command = ($ctl, @args);
	if (grep { ref } @args) {
		my $line = join ' ', $ctl, map { "'$_'" } grep { !ref } @args;
		@command = ('env', 'TERM=xterm', 'script', '-q', '-e', '-c', $line, '/dev/null');
	}
	my $pid = fork() // die "fork: $!\n";
	if (!$pid) {
		open(STDOUT, '>', "$dir/out") or die;
		open(STDERR, '>', "$dir/err") or die;
		open(STDIN, '<', '/dev/null') or die;
		exec(@command) or die "$command[0]: $!\n";
	}
	waitpid($pid, 0);
	return ($? >> 8, slurp("$dir/out"), slurp("$dir/err"));
}

# The same, with a daemon that answers any request with these lines; also what it was asked.
sub run_with {
	my ($answer, @args) = @_;

	unlink($sock);
	my $listener = IO::Socket::UNIX->new(Local => $sock, Listen => 1) or die "$sock: $!\n";
	my $daemon = fork() // die "fork: $!\n";
	if (!$daemon) {
		my $client = $listener->accept();
		my $request = <$client>;
		print $client $answer;
		close($client);
		open(my $out, '>', "$dir/request") or die;
		print $out $request;
		close($out);
		# Not exit(): that would run the test's own end blocks.
		require POSIX;
		POSIX::_exit(0);
	}
	close($listener);
	my @result = run('-s', $sock, @args);
	waitpid($daemon, 0);
	return (@result, slurp("$dir/request"));
}

sub check {
	my ($name, $answer, $args, $want_code, $want_out, $want_err, $want_request) = @_;
	my ($code, $out, $err, $request) = run_with($answer, @$args);

	is($code, $want_code, "$name: exit code");
	is($out, $want_out, "$name: output");
	is($err, $want_err, "$name: errors");
	is($request, "$want_request\n", "$name: request");
}

my $done = qq({"done":true}\n);
my $web = '"name":"acme/web","phase":"running","reason":"none","message":"",'
	. '"image":"docker.io/library/nginx:1.27@sha256:00","vmm":"qemu (tcg)","pid":4711,'
	. '"restarts":0,"running_ms":312000,"next_start_ms":0,"boot_ms":900,'
	. '"boot":{"kernel_ms":640,"init_ms":35,"workload_ms":675},"slot":1,'
	. '"tap":"stk1","mac":"02:00:00:00:00:01","addresses":["10.20.0.10","fd00:20::a"],'
	. '"cpus":1,"memory_bytes":268435456,"labels":["a=b","c=d"],"progress_stage":"",'
	. '"progress_done":0,"progress_total":0,"log_dropped_bytes":0';
my $job = '"name":"acme/job","phase":"backoff","reason":"exited","exit_code":3,'
	. '"message":"","image":"registry.example.com/teams/acme/batch/worker-of-the-night:2026.11",'
	. '"pid":0,"restarts":12,"running_ms":0,"next_start_ms":51200,"tap":"","addresses":[],'
	. '"cpus":2,"memory_bytes":805306368,"labels":[],"log_dropped_bytes":1536';
my $new = '"name":"acme/new","phase":"fetching","reason":"none","message":"",'
	. '"image":"docker.io/library/redis:7","progress_stage":"download","progress_done":30,'
	. '"progress_total":120,"restarts":0,"addresses":["10.20.0.11"]';

# --- status ---------------------------------------------------------------------------------------

check('status', qq({"daemon":{"version":"0.1.0","pid":99,"uptime_ms":7500000,"refusal":null}}\n)
	. qq({"instance":{$job}}\n{"instance":{$new}}\n{"instance":{$web}}\n) . $done,
	['status'], 0, <<'OUT', '', '{"command":"status"}');
stokerd 0.1.0, pid 99, up 2h05m
NAME      PHASE     REASON        UPTIME  RESTARTS  PID   TAP   ADDRESSES      IMAGE
acme/job  backoff   exited 3      in 51s  12                                   ..f-the-night:2026.11
acme/new  fetching  download 25%          0                     10.20.0.11     redis:7
acme/web  running                 5m12s   0         4711  stk1  10.20.0.10 +1  nginx:1.27
OUT

check('status after a refused reload',
	qq({"daemon":{"version":"0.1.0","pid":9,"uptime_ms":999,"refusal":"a.yaml:1:1: wrong\\n"}}\n)
	. $done, ['status'], 0, <<'OUT', '', '{"command":"status"}');
stokerd 0.1.0, pid 9, up 999ms
the last reload was refused, the fleet from before it runs on:
a.yaml:1:1: wrong
no instances (manifests go to fleet.d, then: stokerctl reload)
OUT

check('status with warnings', qq({"daemon":{"version":"0.1.0","pid":9,"uptime_ms":999,"refusal":null,)
	. qq("warnings":["jail = no: so (do)","\\u001b[2Jodd",7]}}\n) . $done,
	['status'], 0, <<'OUT', '', '{"command":"status"}');
stokerd 0.1.0, pid 9, up 999ms
warning: jail = no: so (do)
warning: ?[2Jodd
warning: ?
no instances (manifests go to fleet.d, then: stokerctl reload)
OUT

check('status of one', qq({"daemon":{}}\n{"instance":{$web}}\n) . $done,
	['status', 'acme/web'], 0, <<'OUT', '', '{"command":"status","name":"acme/web"}');
name       acme/web
phase      running
running    5m12s
booted in  900ms
boot       kernel 640 ms, init 35 ms, workload after 675 ms
image      docker.io/library/nginx:1.27@sha256:00
cpus       1
memory     256MiB
addresses  10.20.0.10
           fd00:20::a
mac        02:00:00:00:00:01
tap        stk1
vmm        qemu (tcg)
pid        4711
labels     a=b
           c=d
OUT

check('status of one that failed', qq({"instance":{$job}}\n) . $done,
	['status', 'acme/job'], 0, <<'OUT', '', '{"command":"status","name":"acme/job"}');
name       acme/job
phase      backoff
reason     exited 3
starts in  51s
restarts   12
image      registry.example.com/teams/acme/batch/worker-of-the-night:2026.11
cpus       2
memory     768MiB
log lost   1.5KiB
OUT

{
	my ($code, $out) = run_with(qq({"daemon":{"pid":9}}\n{"instance":{$web}}\n) . $done,
		'status', '--json');
	is($code, 0, 'status --json: exit code');
	like($out, qr/\A\{\n  "daemon": \{\n    "pid": 9\n  \},\n  "instances": \[\n    \{\n/,
		'status --json: shape');
	like($out, qr/"phase": "running"/, 'status --json: content');
}

{
	# Lines stay within 100 columns, whatever is in them.
	my $long = $web =~ s/"reason":"none"/"reason":"vmm-killed","exit_signal":9/r;
	$long =~ s/nginx:1.27/some-registry-of-a-long-name\/some-image-of-a-long-name:and-a-tag/;
	$long =~ s/10.20.0.10/fd00:1234:5678:9abc:def0:1234:5678:9abc/;
	my ($code, $out) = run_with(qq({"daemon":{}}\n{"instance":{$long}}\n) . $done, 'status');
	my @long = grep { length > 100 } split(/\n/, $out);
	is("@long", '', 'no line of the table is longer than 100 columns');
	like($out, qr/vmm-killed SIGKILL/, 'a signal has its name');
}

# --- plan, reload ---------------------------------------------------------------------------------

check('plan', qq({"text":"create   acme/web\\n1 to create\\n"}\n) . $done, ['plan'], 0,
	"create   acme/web\n1 to create\n", '', '{"command":"plan"}');
check('plan of invalid manifests',
	qq({"text":"a.yaml:1:1: wrong\\n"}\n{"error":"the manifests are not valid"}\n), ['plan'], 1,
	'', "a.yaml:1:1: wrong\nstokerctl: the manifests are not valid\n", '{"command":"plan"}');

check('reload', qq({"text":"create acme/web\\n"}\n)
	. qq({"event":{"name":"acme/web","phase":"booting","reason":"none","message":""}}\n)
	. qq({"dropped":3}\n)
	. qq({"event":{"name":"acme/web","phase":"running","reason":"none","message":""}}\n)
	. qq({"result":{$web}}\n{"done":true,"settled":true}\n), ['reload'], 0, <<'OUT', '',
create acme/web
acme/web  booting
(3 changes not shown)
acme/web  running
OUT
	'{"command":"reload","timeout_ms":300000}');
check('reload with a failure', qq({"text":"p\\n"}\n)
	. qq({"result":{"name":"acme/web","phase":"failed","reason":"image-error","message":"no such image"}}\n)
	. qq({"result":{$web}}\n{"result":{$job}}\n{"done":true,"settled":true}\n),
	['reload', '--timeout=5'], 0,
	"p\n", "stokerctl: acme/web: failed, image-error: no such image\n"
	. "stokerctl: acme/job: backoff, exited 3 (see: stokerctl logs acme/job)\n"
	. "stokerctl: 2 of 3 changed instances do not run\n",
	'{"command":"reload","timeout_ms":5000}');
check('reload that does not settle', qq({"text":""}\n{"done":true,"settled":false}\n),
	['-t', '2', 'reload'], 1, '',
	"stokerctl: not settled after 2 s (it goes on: stokerctl status)\n",
	'{"command":"reload","timeout_ms":2000}');
check('reload without waiting', qq({"text":"p\\n"}\n{"done":true,"settled":false}\n),
	['reload', '-t0'], 0, "p\n", '', '{"command":"reload","timeout_ms":0}');

# --- logs, guard, events, restart, version --------------------------------------------------------

check('logs', qq({"log":"one\\n"}\n{"gap":true}\n{"log":"t\\u001b[2Jwo\\u009b\\n"}\n) . $done,
	['logs', '-n5', 'acme/web'], 0, "one\nt?[2Jwo?\n",
	"stokerctl: lines are missing here (rotated away before they were read)\n",
	'{"command":"logs","name":"acme/web","follow":false,"lines":5}');
check('logs -fn', $done, ['logs', '-fn', '0', 'acme/web'], 0, '', '',
	'{"command":"logs","name":"acme/web","follow":true,"lines":0}');

my $said = qq({"log":"2026-11-26T06:30:00.000Z stdout out\\n2026-11-26T06:30:00.001Z stderr o\\\\x1b[2Jh\\n"}\n)
	. qq({"log":"2026-11-26T06:30:00.002Z syslog auth.crit su[7]: [a b=\\"c\\"] no\\u009b\\n"}\n)
	. qq({"log":"2026-11-26T06:30:00.003Z kernel info: up\\n2026-11-26T06:30:00.004Z init odd\\n"}\n);
check('logs --severity', $said . $done, ['logs', '-p', 'err', 'acme/web'], 0,
	"2026-11-26T06:30:00.001Z stderr o\\x1b[2Jh\n"
	. "2026-11-26T06:30:00.002Z syslog auth.crit su[7]: [a b=\"c\"] no?\n", '',
	'{"command":"logs","name":"acme/web","follow":false,"lines":0}');
check('logs --severity -n', $said . $done, ['logs', '--severity=4', '-n1', 'acme/web'], 0,
	"2026-11-26T06:30:00.002Z syslog auth.crit su[7]: [a b=\"c\"] no?\n", '',
	'{"command":"logs","name":"acme/web","follow":false,"lines":0}');
check('logs --stream', $said . $done, ['logs', '--stream', 'stdout,init', 'acme/web'], 0,
	"2026-11-26T06:30:00.000Z stdout out\n2026-11-26T06:30:00.004Z init odd\n", '',
	'{"command":"logs","name":"acme/web","follow":false,"lines":0}');
check('logs -f --stream: the last of what is there, then all', $said . qq({"now":true}\n) . $said
	. $done, ['logs', '-f', '-n', '1', '--stream', 'stdout,init', 'acme/web'], 0,
	"2026-11-26T06:30:00.004Z init odd\n2026-11-26T06:30:00.000Z stdout out\n"
	. "2026-11-26T06:30:00.004Z init odd\n", '',
	'{"command":"logs","name":"acme/web","follow":true,"lines":0}');
check('logs --json', $said . $done, ['logs', '--json', 'acme/web'], 0, <<'OUT', '',
{"vm":"acme/web","time":"2026-11-26T06:30:00.000Z","stream":"stdout","severity":"info","message":"out"}
{"vm":"acme/web","time":"2026-11-26T06:30:00.001Z","stream":"stderr","severity":"err","message":"o\u001B[2Jh"}
{"vm":"acme/web","time":"2026-11-26T06:30:00.002Z","stream":"syslog","severity":"crit","facility":"auth","tag":"su","pid":"7","data":"[a b=\"c\"]","message":"no\u009B"}
{"vm":"acme/web","time":"2026-11-26T06:30:00.003Z","stream":"kernel","severity":"info","facility":"kern","message":"up"}
{"vm":"acme/web","time":"2026-11-26T06:30:00.004Z","stream":"init","severity":"notice","message":"odd"}
OUT
	'{"command":"logs","name":"acme/web","follow":false,"lines":100}');
check('logs --since', $done, ['logs', '-S', '2026-11-26T06:30:00.001Z', 'acme/web'], 0, '', '',
	'{"command":"logs","name":"acme/web","follow":false,"lines":0,"since_ms":1795674600001}');
check('logs --since -n', $done, ['logs', '-S', '@1795674600', '-n7', 'acme/web'], 0, '', '',
	'{"command":"logs","name":"acme/web","follow":false,"lines":7,"since_ms":1795674600000}');
check('logs of a VM that is not there', qq({"error":"there is no instance 'a/b'"}\n),
	['logs', '-p', '3', 'a/b'], 1, '', "stokerctl: there is no instance 'a/b'\n",
	'{"command":"logs","name":"a/b","follow":false,"lines":0}');
my $guests = '{"guest":{"name":"acme/web","phase":"running","stats":{"uptime_ms":61000,'
	. '"memory_total_bytes":134217728,"memory_available_bytes":100663296,"load_1":1.25,"load_5":0.5,'
	. '"load_15":0.0,"tasks":41,"disk_total_bytes":1073741824,"disk_used_bytes":1048576,'
	. qq("pressure_cpu_percent":12.5,"pressure_io_percent":0.0}}}\n)
	. qq({"guest":{"name":"acme/db","phase":"paused"}}\n{"guest":{"name":"acme/mute\\u001b","phase":"running"}}\n);
check('stats', $guests . $done, ['stats'], 0, <<'OUT', '', '{"command":"stats"}');
NAME        UPTIME     MEMORY        DISK       LOAD  TASKS  CPU%   MEM%  IO%
acme/web    1m01s      32MiB/128MiB  1MiB/1GiB  1.25  41     12.50  -     0.00
acme/db     paused                                                        
acme/mute?  no answer                                                     
OUT
check('stats of one, as JSON', qq({"guest":{"name":"a/b","phase":"paused"}}\n) . $done,
	['stats', '--json', 'a/b'], 0, qq([\n  {\n    "name": "a/b",\n    "phase": "paused"\n  }\n]\n), '',
	'{"command":"stats","name":"a/b"}');
check('guard', '{"guard":{"name":"acme/web","attachment":"tcx","accepted_bytes":1536,'
	. '"delivered_bytes":20,"shielded":5,"shield":true,"policy":{"mac":"06:00:00:00:00:01","addresses":["10.0.0.2","fd00::2"],'
	. '"tenant":7,"mtu":1500,"rate_bits":100000000,"rate_packets":500,'
	. '"egress":["ip daddr 10.0.0.0/8 tcp dport 443 return","counter packets 3 bytes 180 drop\\u001b"],'
	. '"ingress":[],"ports":["8080:80/tcp"]},"counters":['
	. '{"name":"accept","packets":41,"drop":false,"per_second":3},'
	. '{"name":"source-mac","packets":7,"drop":true,"per_second":0},'
	. '{"name":"vlan","packets":0,"drop":true},{"name":"gso","packets":0,"drop":true}],"events":['
	. '{"time_ms":1700000000000,"guard":"drop","reason":"source-mac","to_guest":false,"bytes":60,'
	. '"frame":"0253746b00fe02000000000b08004500002400010000401100000a0000020a00000303e807d0zz"}'
	. qq(]}}\n) . $done, ['guard', 'acme/web'], 0, <<'OUT', '', '{"command":"guard","name":"acme/web"}');
acme/web: guard (tcx), 1.5KiB accepted from the guest, 20B delivered to it
may be: 06:00:00:00:00:01 10.0.0.2 fd00::2
may send: MTU 1500, 100Mbit/s, 500 packets/s
egress, as loaded:
  ip daddr 10.0.0.0/8 tcp dport 443 return
  counter packets 3 bytes 180 drop?
ingress, as loaded: peers, and the world by published ports
published:
  8080:80/tcp
flood shield: up, met 5 frames
VERDICT       PACKETS  A SECOND  REASON
pass               41         3  accept
drop                7         0  source-mac
drop                0         0  for each of 2 other reasons
last drops:
2023-11-14T22:13:20Z  dropped source-mac from the guest, 60 bytes: 02:00:00:00:00:0b > 02:53:74:6b:00:fe IPv4 10.0.0.2:1000 > 10.0.0.3:2000 UDP
OUT
check('events of guards', '{"event":{"number":1,"time":"2026-11-23T12:00:00Z","name":"a/b",'
	. '"guard":"drop","reason":"rate-in","to_guest":true,"bytes":3,"frame":"00"}}' . "\n"
	. '{"event":{"number":2,"time":"2026-11-23T12:00:01Z","name":"a/b","guard":"repaired",'
	. qq("message":"the guard\\u001b was taken off"}}\n) . $done, ['events'], 0,
	"2026-11-23T12:00:00Z  a/b  guard  dropped rate-in to the guest, 3 bytes: "
	. "1 bytes of an Ethernet header\n"
	. "2026-11-23T12:00:01Z  a/b  guard  repaired: the guard? was taken off\n", '',
	'{"command":"events","follow":false}');
check('events', '{"event":{"number":1,"time":"2026-11-23T12:00:00Z","name":"a/b","phase":"backoff",'
	. qq("reason":"signalled","exit_signal":11,"message":"m"}}\n) . $done, ['events', '-f'], 0,
	"2026-11-23T12:00:00Z  a/b  backoff  signalled SIGSEGV  m\n", '',
	'{"command":"events","follow":true}');
check('restart', $done, ['restart', 'a/b'], 0, '', '', '{"command":"restart","name":"a/b"}');
check('pause', $done, ['pause', 'a/b'], 0, '', '', '{"command":"pause","name":"a/b"}');
check('resume', qq({"error":"a/b is booting (only a paused VM can be resumed)"}\n), ['resume', 'a/b'],
	1, '', "stokerctl: a/b is booting (only a paused VM can be resumed)\n",
	'{"command":"resume","name":"a/b"}');
check('restart of a stranger', qq({"error":"there is no instance 'a/b'"}\n), ['restart', 'a/b'], 1,
	'', "stokerctl: there is no instance 'a/b'\n", '{"command":"restart","name":"a/b"}');
{
	my ($code, $out) = run_with(qq({"version":"9.9"}\n) . $done, 'version');
	is($code, 0, 'version: exit code');
	like($out, qr/\Astokerctl \S+\nstokerd   9\.9\n\z/, 'version: both');
}

# --- images ---------------------------------------------------------------------------------------

my $nginx = '"id":"00ff","references":["docker.io/library/nginx:1.27","r.io/other:1"],"digests":["sha256:'
	. 'a' x 64 . '","sha256:' . 'b' x 64 . '"],"size":86000000,"created":"2026-10-01T10:00:00.5Z",'
	. '"pulled":"2026-11-20T08:00:00Z","used_by":["acme/web","acme/web.2"]';
check('image list', qq({"image":{$nginx}}\n) . '{"image":{"id":"' . 'c' x 64 . '","references":[],'
	. '"digests":[],"size":4096,"created":"","pulled":"2026-11-01T08:00:00Z","used_by":[]}}'
	. "\n$done", ['image', 'list'], 0, <<'OUT', '', '{"command":"image-list"}');
IMAGE         DIGEST        SIZE     CREATED     PULLED      USED BY
nginx:1.27    aaaaaaaaaaaa  82.0MiB  2026-10-01  2026-11-20  acme/web +1
r.io/other:1  bbbbbbbbbbbb  82.0MiB  2026-10-01  2026-11-20  acme/web +1
(none)        cccccccccccc  4KiB                 2026-11-01  
OUT
check('image inspect', '{"image":{"references":["r.io/a:1"],"digests":["sha256:00"],"config":"sha256:11",'
	. '"size":4096,"layers":[{"digest":"sha256:22","type":"gzip","size":1536},'
	. '{"digest":"sha256:33","type":"zstd","size":2}],"entrypoint":["/a","\u001b[2J"],"user":"7",'
	. '"labels":[],"is_cut":true}}' . "\n$done", ['image', 'inspect', 'a'], 0, <<'OUT', '',
image       r.io/a:1
digest      sha256:00
config      sha256:11
size        4KiB
layers      sha256:22  gzip  1.5KiB
            sha256:33  zstd  2B
entrypoint  /a
            ?[2J
user        7
(it says more than is shown)
OUT
	'{"command":"image-inspect","image":"a"}');
check('image prune', '{"pruned":{"images":["r.io/a:1"],"image_bytes":4096,"blobs":1,"blob_bytes":7,'
	. qq("blobs_kept":false}}\n$done), ['image', 'prune', '-n'], 0, <<'OUT', '',
would go    r.io/a:1
1 image, 4KiB; 1 file of no image, 7B
OUT
	'{"command":"image-prune","dry_run":true}');
check('volume list', qq({"volume":{"volume":"acme/data","size":67108864,"used":1536,)
	. qq("used_by":"acme/db"}}\n{"volume":{"volume":"acme/old","size":1,"used":0,"used_by":""}}\n$done),
	['volume', 'list'], 0, <<'OUT', '', '{"command":"volume-list"}');
VOLUME     SIZE   ON DISK  USED BY
acme/data  64MiB  1.5KiB   acme/db
acme/old   1B     0B       
OUT
check('volume prune', qq({"pruned":{"volume":"acme/old","size":1,"used":512,"used_by":""}}\n$done),
	['volume', 'prune', '-n'], 0, <<'OUT', '', '{"command":"volume-prune","dry_run":true}');
would go    acme/old
1 volume, 512B
OUT
check('image pull', '{"progress":{"progress_stage":"download","progress_done":512,"progress_total":2048,'
	. '"progress_rate":1024,"progress_layers":[{"digest":"sha256:22","done":512,"total":1024},'
	. qq({"digest":"sha256:33","done":1024,"total":1024}]}}\n{"image":{$nginx}}\n$done),
	['image', 'pull', 'nginx:1.27'], 0,
	'docker.io/library/nginx:1.27  sha256:' . 'a' x 64 . "  82.0MiB\n",
	"download: 512B of 2KiB (25%), 1KiB/s, 1 of 2 layers\n",
	'{"command":"image-pull","image":"nginx:1.27"}');
{
	# A bar for each layer and one for all, drawn anew in their place.
	my ($code, $out) = run_with('{"progress":{"progress_stage":"download","progress_done":512,"progress_total":2048,'
		. '"progress_rate":1024,"progress_layers":[{"digest":"sha256:22","done":512,"total":1024},'
		. qq({"digest":"sha256:0123456789abcdef","done":0,"total":1024}]}}\n)
		. qq({"progress":{"progress_stage":"build","progress_done":0,"progress_total":0}}\n{"image":{$nginx}}\n$done),
		$terminal, 'image', 'pull', 'nginx:1.27');
	is($code, 0, 'image pull on a terminal: exit code');
	is($out =~ s/\r\n/\n/gr =~ s/\e/^[/gr, <<"OUT", 'image pull on a terminal: output');
\r^[[J22           [===========>           ] 512B of 1KiB (50%)^[[K
0123456789ab [                       ] 0B of 1KiB (0%)^[[K
download     [=====>                 ] 512B of 2KiB (25%), 1KiB/s^[[K
^[[3A\r^[[Jbuild        0B^[[K
^[[1A\r^[[Jdocker.io/library/nginx:1.27  sha256:${\ ('a' x 64)}  82.0MiB
OUT
}
check('image pull that fails', qq({"error":"no such image"}\n), ['image', 'pull', 'x'], 1, '',
	"stokerctl: no such image\n", '{"command":"image-pull","image":"x"}');
check('status of a VM that waits', '{"daemon":{}}' . "\n" . '{"instance":{"name":"a/b",'
	. '"phase":"fetching","progress_stage":"download","progress_done":512,"progress_total":2048,'
	. '"progress_rate":1024,"progress_layers":[{"digest":"sha256:0123456789abcdef","done":512,'
	. qq("total":1024}]}}\n$done), ['status', 'a/b'], 0, <<'OUT', '',
name       a/b
phase      fetching
reason     download 25%
progress   512B of 2KiB (25%), 1KiB/s
layers     sha256:0123456789ab  512B of 1KiB (50%)
OUT
	'{"command":"status","name":"a/b"}');

# --- daemons that misbehave -----------------------------------------------------------------------

check('cut short', qq({"log":"one\\n"}\n), ['logs', 'a/b'], 1, "one\n",
	"stokerctl: stokerd closed the connection before it was done (it was stopped, or its log says "
	. "why)\n", '{"command":"logs","name":"a/b","follow":false,"lines":100}');
check('no object', "[1]\n", ['plan'], 1, '',
	"stokerctl: stokerd answered with something else than an object\n", '{"command":"plan"}');
check('wrong types', qq({"text":7,"more":[]}\n{"text":null}\n) . $done, ['plan'], 0, '', '',
	'{"command":"plan"}');

# --- doctor ---------------------------------------------------------------------------------------

{
	# The host is what it is; that nothing is installed in an empty directory is sure.
	my $ini = "$dir/doctor.ini";
	open(my $file, '>', $ini) or die "$ini: $!\n";
	print $file "[paths]\nlibexec_dir = $dir/nothing\nrun_dir = $dir/nothing\n";
	close($file);
	chmod(0600, $ini);
	my ($code, $out, $err) = run('-c', $ini, 'doctor');
	is($code, 1, 'doctor: something bad makes the exit code 1');
	is($err, '', 'doctor: nothing on standard error');
	is_deeply([grep { !/^(?:ok   |warn |bad  ) [a-z-]+ +\S/ } split(/\n/, $out)], [],
		'doctor: each line is a verdict, a name and a fact');
	is_deeply([grep { /^ok/ == /\(remedy: .+\)$/ } split(/\n/, $out)], [],
		'doctor: a remedy for all that is not ok');
	like($out, qr/^bad   libexec           \S.*\(remedy: .+\)$/m, 'doctor: nothing is installed');
	my ($json_code, $json) = run('-c', $ini, 'doctor', '--json');
	is($json_code, 1, 'doctor --json: the same exit code');
	like($json, qr/\A\[\n  \{\n    "verdict": "\w+",\n    "name": "kvm",\n    "fact": "/,
		'doctor --json: shape');
	is(scalar(() = $json =~ /"verdict"/g), scalar(split(/\n/, $out)),
		'doctor --json: as many findings');
	open($file, '>', $ini) or die "$ini: $!\n";
	print $file "[pats]\n";
	close($file);
	($code, $out, $err) = run('-c', $ini, 'doctor');
	is($code, 1, 'doctor: settings that are not valid');
	is($out, '', 'doctor: and then no verdicts');
	like($err, qr/did you mean 'paths'.*^stokerctl: \Q$ini\E is not valid\n\z/ms, 'doctor: why');
}

# --- no daemon ------------------------------------------------------------------------------------

sub check_usage {
	my ($args, $want_code, $want_err) = @_;
	my ($code, $out, $err) = run(@$args);

	is($err, $want_err, "stokerctl @$args");
	is($code, $want_code, "stokerctl @$args: exit code");
}

unlink($sock);
check_usage(['-s', $sock, 'status'], 1, "stokerctl: cannot reach stokerd at $sock: "
	. "No such file or directory (is it running? systemctl status stokerd)\n");
my $dead = IO::Socket::UNIX->new(Local => $sock, Listen => 1) or die "$sock: $!\n";
close($dead);
check_usage(['-s', $sock, 'status'], 1, "stokerctl: cannot reach stokerd at $sock: "
	. "Connection refused (is it running? systemctl status stokerd)\n");
check_usage(['-s', '/' . 'x' x 200, 'status'], 1, 'stokerctl: /' . 'x' x 200
	. ": too long for the name of a socket\n");

my $try = "Try 'stokerctl help'.\n";
check_usage(['stat'], 2, "stokerctl: unknown command 'stat' (did you mean 'stats'?)\n$try");
check_usage(['frobnicate'], 2, "stokerctl: unknown command 'frobnicate'\n$try");
check_usage(['status', '--jsn'], 2,
	"stokerctl: unknown option '--jsn' (did you mean '--json'?)\n$try");
check_usage(['status', '-x'], 2, "stokerctl: unknown option '-x'\n$try");
check_usage(['status', 'a', 'b'], 2, "stokerctl: 'status' does not know what to do with 'b' "
	. "(usage: stokerctl status [--json] [VM])\n$try");
check_usage(['logs'], 2, "stokerctl: 'logs' needs the name of a VM "
	. "(usage: stokerctl logs [-f] [-n LINES] [--since TIME] [--severity LEVEL] "
	. "[--stream NAMES] [--json] VM)\n$try");
check_usage(['logs', '-p', 'error', 'a/b'], 2, "stokerctl: --severity error: not one of emerg, "
	. "alert, crit, err, warning, notice, info and debug, or 0 to 7\n");
check_usage(['logs', '-p8', 'a/b'], 2, "stokerctl: --severity 8: not one of emerg, "
	. "alert, crit, err, warning, notice, info and debug, or 0 to 7\n");
check_usage(['logs', '--stream', 'stdout,', 'a/b'], 2, "stokerctl: --stream : not one of stdout, "
	. "stderr, kernel, syslog, init, console and stoker\n");
check_usage(['logs', '-S', 'soon', 'a/b'], 2, "stokerctl: --since: 'soon' is not a time (such as "
	. "10m, '2 days ago', 06:30, 2026-11-26, '2026-11-26 06:30:00', 2026-11-26T06:30:00Z, "
	. "today, \@1700000000)\n");
check_usage(['logs', '-n', '-1', 'a/b'], 2,
	"stokerctl: --lines -1: not a number from 0 to 100000\n$try");
check_usage(['logs', '-n'], 2, "stokerctl: --lines needs a value (LINES)\n$try");
check_usage(['plan', '-f'], 2, "stokerctl: 'plan' takes no --follow (usage: stokerctl plan)\n$try");
check_usage(['doctor', 'web'], 2, "stokerctl: 'doctor' does not know what to do with 'web' "
	. "(usage: stokerctl doctor [--json])\n$try");
check_usage(['status', '--json=yes'], 2, "stokerctl: --json takes no value\n$try");
check_usage(['image'], 2, "stokerctl: 'image' needs one of: list, inspect, pull, prune\n$try");
check_usage(['volume'], 2, "stokerctl: 'volume' needs one of: list, prune\n$try");
check_usage(['image', 'pul', 'x'], 2,
	"stokerctl: unknown command 'image pul' (did you mean 'image pull'?)\n$try");
check_usage(['image', 'pull'], 2, "stokerctl: 'image pull' needs the name of an image (usage: "
	. "stokerctl image pull [-o FILE [--platform OS/ARCH] [--compress METHOD]] IMAGE)\n$try");
check_usage(['exec', 'a/b'], 2, "stokerctl: 'exec' needs the name of a VM and a command (usage: "
	. "stokerctl exec [-it] [-u USER] [-w DIR] [-e K=V] [--detach] VM -- COMMAND...)\n$try");
check_usage(['logs', '-i', 'a/b'], 2, "stokerctl: 'logs' takes no --input "
	. "(usage: stokerctl logs [-f] [-n LINES] [--since TIME] [--severity LEVEL] [--stream NAMES] "
	. "[--json] VM)\n$try");
check_usage(['plan', '--', '-f'], 2, "stokerctl: 'plan' does not know what to do with '-f' "
	. "(usage: stokerctl plan)\n$try");

{
	my ($code, $out, $err) = run('help');
	is($code, 0, 'help: exit code');
	is($err, '', 'help: nothing on standard error');
	is_deeply([grep { length > 100 } split(/\n/, $out)], [], 'help fits the screen');
	# Every command of the program is in the manual, and the other way round.
	my @commands = sort $out =~ m/^  ((?:image|volume) [a-z]+|[a-z]+)\b.*$/mg;
	my %documented = map { $_ => 1 }
		slurp("$tree/man/stokerctl.8") =~ m/^\.It Cm ((?:image|volume) [a-z]+|[a-z]+)/mg;
	is_deeply(\@commands, [sort keys %documented], 'stokerctl(8) has exactly these commands');
	($code, $out, $err) = run();
	is($code, 2, 'no command is wrong usage');
	is($out, '', 'and then help is an error message');
	is(system("$ctl help >/dev/full 2>/dev/null") >> 8, 1, 'a full disk does not pass unnoticed');
}

done_testing();
