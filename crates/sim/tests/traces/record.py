#!/usr/bin/env python3
"""Records the arrival traces that crates/sim/tests/traces.rs replays: UDP heartbeats between two
real processes of this machine, one every 100 ms, as the receiving process sees them.

    sudo ./record.py [SECONDS]        # 300 by default; all but `busy` run at the same time

    idle     loopback, nothing else to do (but what else the machine has to do)
    busy     loopback, one endless loop per core beside it
    loss5    loopback of a network namespace whose nft rule drops 5 % at random
    burst30  the same, but the rule drops all for 0.3 s and nothing for 0.7 s on average
    stops    loopback, the sender is stopped (SIGSTOP) for 0.3 to 2 s every 8 s on average

A line of a trace is one heartbeat that arrived: microseconds since the one before it and, if any
were lost between the two, how many. Needs root, ip and nft. No tc, no netem.
"""

import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

PERIOD = 0.1
HERE = os.path.dirname(os.path.abspath(__file__))
SPACE = "tidings-trace-%d-%s"
PORTS = {"idle": 47101, "busy": 47102, "loss5": 47103, "burst30": 47104, "stops": 47105}


def send(port, seconds):
    """One heartbeat a period on a fixed schedule; slots that were slept through are not made up."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    start, slot, seq = time.monotonic(), 0, 0
    while time.monotonic() < start + seconds:
        out.sendto(struct.pack("<Q", seq), ("127.0.0.1", port))
        seq += 1
        slot = max(slot + 1, int((time.monotonic() - start) / PERIOD) + 1)
        time.sleep(max(0.0, start + slot * PERIOD - time.monotonic()))


def receive(port, path, about):
    """Writes what arrives until nothing has for ten seconds."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", port))
    sock.settimeout(10)
    lines, before = [], None
    try:
        while True:
            seq = struct.unpack("<Q", sock.recv(64))[0]
            now = time.monotonic_ns()
            if before is not None:
                lost = seq - before[1] - 1
                lines.append("%d" % ((now - before[0]) // 1000) + (" %d" % lost if lost else ""))
            before = (now, seq)
    except socket.timeout:
        pass
    with open(path, "w") as file:
        file.write("# %s; recorded by record.py, one heartbeat per 100 ms\n" % about)
        file.write("\n".join(lines) + "\n")


def spawn(space, *words):
    inside = ["ip", "netns", "exec", space] if space else []
    return subprocess.Popen(inside + [sys.executable, os.path.abspath(__file__), *map(str, words)])


def nft(space, rules):
    subprocess.run(["ip", "netns", "exec", space, "nft", "-f", "-"], input=rules, text=True, check=True)


def rules(port, match):
    return (
        "table inet t\ndelete table inet t\n"
        "table inet t {\nchain c {\ntype filter hook input priority 0;\n"
        "udp dport %d %s counter drop\n}\n}\n"
        % (port, match)
    )


def bursts(space, port, until):
    """Gilbert's channel: dead for 0.3 s, alive for 0.7 s, both exponential."""
    draw = random.Random(30)
    while time.monotonic() < until:
        nft(space, rules(port, ""))
        time.sleep(draw.expovariate(1 / 0.3))
        nft(space, "table inet t\ndelete table inet t\n")
        time.sleep(draw.expovariate(1 / 0.7))


def stops(pid, until):
    draw = random.Random(31)
    while True:
        time.sleep(min(draw.expovariate(1 / 8.0), 30))
        if time.monotonic() > until - 4:
            return
        os.kill(pid, signal.SIGSTOP)
        time.sleep(draw.uniform(0.3, 2.0))
        os.kill(pid, signal.SIGCONT)


def record(name, seconds, about):
    """Runs one pair of processes; returns what to wait for."""
    port, space = PORTS[name], None
    if name in ("loss5", "burst30"):
        space = SPACE % (os.getpid(), name)
        subprocess.run(["ip", "netns", "add", space], check=True)
        subprocess.run(["ip", "-n", space, "link", "set", "lo", "up"], check=True)
    receiver = spawn(space, "receive", port, os.path.join(HERE, name + ".txt"), about)
    time.sleep(0.5)
    if name == "loss5":
        nft(space, rules(port, "numgen random mod 100 < 5"))
    sender = spawn(space, "send", port, seconds)
    until, threads = time.monotonic() + seconds, []
    if name == "burst30":
        threads.append(threading.Thread(target=bursts, args=(space, port, until)))
    if name == "stops":
        threads.append(threading.Thread(target=stops, args=(sender.pid, until)))
    for thread in threads:
        thread.start()
    return space, [sender, receiver], threads


def finish(runs):
    for space, processes, threads in runs:
        for thread in threads:
            thread.join()
        for process in processes:
            process.wait()
        if space:
            subprocess.run(["ip", "netns", "del", space], check=True)


def main():
    if sys.argv[1:2] == ["send"]:
        return send(int(sys.argv[2]), float(sys.argv[3]))
    if sys.argv[1:2] == ["receive"]:
        return receive(int(sys.argv[2]), sys.argv[3], sys.argv[4])
    if sys.argv[1:2] == ["hog"]:
        while True:
            pass
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 300.0
    finish([
        record("idle", seconds, "loopback, idle"),
        record("loss5", seconds, "nft drops 5 % at random"),
        record("burst30", seconds, "nft drops all for 0.3 s of each second on average"),
        record("stops", seconds, "the sender is stopped for 0.3 to 2 s every 8 s on average"),
    ])
    hogs = [spawn(None, "hog") for _ in range(os.cpu_count())]
    try:
        finish([record("busy", seconds, "one endless loop per core beside it")])
    finally:
        for hog in hogs:
            hog.kill()


main()
