#!/usr/bin/env python3
"""Ours against Serf: one line per figure, with the bar of DESIGN part 8.

  bench/compare.py bench/results/*.jsonl

Reads the records of the shared harness. A cell is median (min-max, number of values). All values
of equal (system, agents, experiment, options) are pooled; a value that was cut at its time limit
counts as the limit. Exits 1 if a bar is missed or a run failed.
"""
import json
import statistics
import sys
from collections import namedtuple

# A join that takes longer left somebody behind until the periodic repair (BENCH.md: 8 s).
STRAGGLER_S = 8.0

# what: text, experiment, needed options, function {metric: values} -> values, bar on the ratio of
# medians (None: no bar), most of ours by itself (None: no limit)
Row = namedtuple("Row", "text experiment options values ratio most")


def of(name):
    return lambda metrics: metrics.get(name, [])


def total(name):
    """Counts are added up per record."""
    return lambda metrics: [sum(metrics[name])] if name in metrics else []


def bytes_of(metrics):
    """Bytes per second and agent on the wire, headers included: datagrams and streams."""
    udp, tcp = metrics.get("udp_bytes_per_s_per_node", []), metrics.get("tcp_bytes_per_s_per_node", [])
    return [u + t for u, t in zip(udp, tcp)]


def worst(name):
    return lambda metrics: [max(metrics[name])] if metrics.get(name) else []


ROWS = [
    Row("idle CPU, ms/s per agent", "e2", {}, of("cpu_ms_per_s_per_agent_mean"), 1 / 4, None),
    Row("idle RSS, MiB", "e2", {}, of("rss_mib"), 1 / 3, None),
    Row("idle PSS, MiB", "e2", {}, of("pss_mib"), None, None),
    Row("idle UDP, B/s per agent", "e2", {}, of("udp_bytes_per_s_per_node"), None, None),
    Row("idle UDP and TCP, B/s per agent", "e2", {}, bytes_of, 1 / 2, None),
    Row("join at once, all know all, s", "e1", {"mode": "warm"}, of("all_complete_s"), 1 / 2, STRAGGLER_S),
    Row("join at once, false deaths", "e1", {"mode": "warm"}, total("false_failed_events_count"), None, 0),
    Row("event at all, ms", "e3", {}, of("all_ms"), 1 / 3, None),
    Row("event at all, worst, ms", "e3", {}, worst("all_ms"), 1 / 3, None),
    Row("burst of events, last, s", "e3", {}, of("burst_last_s"), 1 / 3, None),
    Row("tag at all, application, ms", "e7", {}, of("app_all_ms"), 1 / 3, None),
    Row("tag at all, worst, ms", "e7", {}, worst("app_all_ms"), 1 / 3, None),
    Row("kill -9 known to all, s", "e4", {}, of("all_report_s"), 1 / 2, None),
    Row("10 % killed at once, s", "e4", {}, of("mass10_all_report_s"), 1 / 2, None),
    Row("kill -9, false deaths", "e4", {}, total("false_failed_events_count"), None, 0),
    Row("stopped again and again, false deaths", "e5stop", {}, total("false_failed_events_count"), None, 0),
    Row("10 % loss, false deaths", "e5loss", {"loss": 10.0}, total("false_failed_events_count"), None, 0),
    Row("30 % loss, false deaths", "e5loss", {"loss": 30.0}, total("false_failed_events_count"), None, 5),
    Row("heal, all know all, s", "e6", {}, of("heal_all_s"), None, 2.0),
    Row("leave known to all, s", "e9", {}, of("all_s"), None, None),
    Row("start to first answer, ms", "e8", {}, of("first_members_answer_ms"), None, None),
    Row("binary, MiB", "e8", {}, of("binary_mib"), None, None),
]

# Options that make another line of the same figure, and how they are shown.
VARIANTS = {"e5stop": ("anomalous", "%d agents, "), "e6": ("secs", "%g s split, ")}


def number(v):
    if v == 0 or abs(v) >= 100:
        return "%.0f" % v
    return "%.3g" % v


def cell(values):
    if not values:
        return "-"
    low, mid, high = min(values), statistics.median(values), max(values)
    if low == high:
        return "%s (n%d)" % (number(mid), len(values))
    return "%s (%s–%s, n%d)" % (number(mid), number(low), number(high), len(values))


def good(row, system, values):
    """Serf's runs that left somebody behind are no bar for us; ours all count."""
    if row.experiment == "e1" and row.ratio and system == "serf":
        return [v for v in values if v <= STRAGGLER_S]
    return values


def judge(row, theirs, ours):
    """(ratio, bar, verdict) as text; the verdict is None where there is nothing to judge."""
    ratio = bar = ""
    passed = []
    base = good(row, "serf", theirs)
    if base and ours and statistics.median(base) > 0:
        value = statistics.median(ours) / statistics.median(base)
        ratio = "%.2f" % value
        if row.ratio is not None:
            passed.append(value <= row.ratio)
    bars = []
    if row.ratio is not None:
        bars.append("<= 1/%d" % round(1 / row.ratio))
    if row.most is not None:
        # A limit of ours holds for every value, not for the median.
        bars.append("each <= %g" % row.most)
        if ours:
            passed.append(max(ours) <= row.most)
    bar = ", ".join(bars)
    if not passed or not ours:
        return ratio, bar, None
    return ratio, bar, all(passed)


def lines(records):
    """Yields (text, agents, serf's values, our values, row)."""
    pool = {}
    for r in records:
        for k, row in enumerate(ROWS):
            if r["experiment"] != row.experiment or r["error"]:
                continue
            if any(r["params"].get(name) != value for name, value in row.options.items()):
                continue
            name, form = VARIANTS.get(row.experiment, (None, ""))
            variant = r["params"][name] if name else None
            label = form % variant if name else ""
            values = row.values(r["metrics"])
            key = (r["nodes"], k, variant or 0)
            pool.setdefault(key, (label + row.text, {}))[1].setdefault(r["system"], []).extend(values)
    for (nodes, k, _), (text, by) in sorted(pool.items()):
        yield text, nodes, by.get("serf", []), by.get("tidings", []), ROWS[k]


def main(files):
    if not files or files[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if files else 2
    records = [json.loads(line) for name in files for line in open(name) if line.strip()]
    table = [("", "agents", "serf", "tidings", "ratio", "bar", "")]
    missed = 0
    for text, nodes, theirs, ours, row in lines(records):
        ratio, bar, verdict = judge(row, theirs, ours)
        missed += verdict is False
        told = {None: "", True: "pass", False: "MISSED"}[verdict]
        table.append((text, "%d" % nodes, cell(theirs), cell(ours), ratio, bar, told))
    widths = [max(len(line[k]) for line in table) for k in range(len(table[0]))]
    for k, line in enumerate(table):
        print("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths)) + " |")
        if k == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")
    joins = {}
    for r in records:
        if r["experiment"] == "e1" and not r["error"]:
            joins.setdefault((r["nodes"], r["system"]), []).extend(r["metrics"].get("all_complete_s", []))
    print()
    for (nodes, system), values in sorted(joins.items()):
        late = sum(1 for v in values if v > STRAGGLER_S)
        print("joins of %d, %s: %d of %d runs left somebody behind after %g s"
              % (nodes, system, late, len(values), STRAGGLER_S))
    failed = [r for r in records if r["error"]]
    for r in failed:
        print("failed: %s, %d agents, %s %s: %s"
              % (r["system"], r["nodes"], r["experiment"], r["variant"], r["error"]))
    for r in records:
        for note in r.get("notes") or []:
            print("note: %s, %d agents, %s %s: %s"
                  % (r["system"], r["nodes"], r["experiment"], r["variant"], note))
    print("%d bars missed, %d runs failed" % (missed, len(failed)))
    return 1 if missed or failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
