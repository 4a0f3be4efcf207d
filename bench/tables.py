"""Tables of the benchmark's results, as Markdown. A figure is the median; least and greatest stand behind it."""

import re
import statistics


def median(values):
    return statistics.median(values)


def spread(values, form="{:.2f}"):
    """The median, with least and greatest if they differ as printed."""
    values = [value for value in values if value is not None]
    if not values:
        return "–"
    least, middle, greatest = (form.format(value) for value in (min(values), median(values), max(values)))
    return middle if least == greatest else f"{middle} ({least}–{greatest})"


def table(head, rows):
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def cases(found, first_word):
    return {name: runs for name, runs in found["cases"].items() if name.split()[0] == first_word}


def per_million(run, field, count="rows"):
    return run[field] / run[count] * 1e6


def requests(run):
    return sum(run["s3"]["requests"].values())


def machine(found):
    of = found["machine"]
    rounds = max(len(runs) for runs in found["cases"].values())
    versions = ", ".join(f"{text if text.startswith(name) else name + ' ' + text}" for name, text in of["versions"].items())
    return (f"Measured {found['at']} at commit {found['commit']} on {of['cpu']}, {of['cores']} virtual cores, {of['memory_gib']} GiB, "
            f"{of['system']}, Linux {of['kernel']}; {versions}. Load before: {found['load_before']:.1f}. It took {found['seconds']} s, in {rounds} {'round' if rounds == 1 else 'rounds'}.")


def ingester(found):
    rows = []
    for name, runs in cases(found, "ingest").items():
        if name.endswith("paced"):
            continue
        _, kind, size, mode = name.split(maxsplit=3)
        rows.append([kind, size, mode, spread([run["rows"] / run["wall_s"] / 1e3 for run in runs], "{:.0f}"),
                     spread([per_million(run, "cpu_s") for run in runs]),
                     spread([run["peak_bytes"] / 1e6 for run in runs], "{:.0f}"),
                     spread([run["segment"]["wire_bytes"] / run["rows"] for run in runs], "{:.0f}"),
                     spread([run["segment"]["requests"] for run in runs], "{:.0f}"),
                     spread([requests(run) for run in runs], "{:.0f}"),
                     "yes" if all(run["segment"]["distinct"] == run["rows"] for run in runs) else "**no**"])
    head = ["rows", "number", "sent as", "1,000 rows/s", "CPU-s per 1M rows", "peak MB", "bytes a row to Segment",
            "requests to Segment", "requests to S3", "each row arrived once"]
    return table(head, rows)


def paced(found):
    (run,) = found["cases"]["ingest track 10k paced"]
    return (f"At 1,000 rows a second, {run['rows']:,} rows take {run['wall_s']:.1f} s and {run['cpu_s']:.2f} CPU seconds "
            f"({per_million(run, 'cpu_s'):.1f} per 1M rows), with {requests(run)} requests to S3.")


def operations(found):
    """The requests to S3 of one file, by operation."""
    rows = []
    for name, runs in cases(found, "ingest").items():
        if name.startswith("ingest track 1M"):
            asked = runs[-1]["s3"]["requests"]
            rows.append([name.removeprefix("ingest "), ", ".join(f"{count} {operation}" for operation, count in sorted(asked.items()))])
    return table(["file", "requests to S3"], rows)


def start_and_size(found):
    (start,) = found["cases"]["start"]
    rows = [[name, f"{of['bootstrap'] / 1e6:.1f}", f"{of['zip'] / 1e6:.1f}"] for name, of in found["sizes"].items()]
    return (table(["function", "bootstrap MB", "zip MB"], rows)
            + f"\n\nThe ingester asks for work {start['median_ms']:.1f} ms after its start "
            f"({start['starts_ms'][0]:.1f}–{start['starts_ms'][-1]:.1f}, {len(start['starts_ms'])} starts), "
            f"with {start['resident_bytes'] / 1e6:.1f} MB resident.")


def exporter(found):
    rows = []
    for name, runs in cases(found, "export").items():
        _, fragments, size = name.split()
        rows.append([f"{int(fragments):,} × {int(size) / 1000:g} KB", spread([run["cpu_s"] for run in runs]),
                     spread([run["raw_bytes"] / run["cpu_s"] / 1e6 for run in runs], "{:.0f}"),
                     spread([run["fragments"] / run["wall_s"] for run in runs], "{:.0f}"),
                     spread([run["fragments"] / run["wall_s"] * 3600 / 1e6 for run in runs], "{:.1f}"),
                     spread([run["peak_bytes"] / 1e6 for run in runs], "{:.0f}"),
                     f"{runs[-1]['objects']}", spread([run["object_bytes"] / 1e6 for run in runs], "{:.1f}"),
                     spread([requests(run) for run in runs], "{:.0f}"),
                     "yes" if all(run["exported"] == run["events"] for run in runs) else "**no**"])
    head = ["fragments", "CPU-s", "MB of lines per CPU-s", "fragments/s", "million an hour", "peak MB", "objects", "their MB",
            "requests to S3", "each event exported once"]
    return table(head, rows)


def receiver(found):
    rows = []
    for name, what in [("receive", "60 s, 200 more connections that sent half a request"), ("receive killed", "the same, killed half way")]:
        (run,) = found["cases"][name]
        resident = run["resident_bytes"]
        # The first quarter fills buffers and connections.
        settled = resident[len(resident) // 4:]
        rows.append([what.replace("60 s", f"{run['seconds']:.0f} s"), f"{run['acknowledged']:,}", f"{run['requests_per_s']:,.0f}", f"{run['p50_ms']:.0f}", f"{run['p99_ms']:.0f}",
                     f"{run['longest_ms']:.0f}", f"{run['cpu_s'] / run['acknowledged'] * 1e6:.0f}",
                     f"{min(settled) / 1e6:.0f}–{max(settled) / 1e6:.0f}", f"{run['puts']:,}", f"{run['others']}", f"{run['lost']}"])
    head = ["load", "acknowledged", "requests/s", "p50 ms", "p99 ms", "longest ms", "CPU-s per 1M", "resident MB", "puts", "other answers",
            "acknowledged and not in S3"]
    return table(head, rows)


def peers(found):
    rows = []
    for size, total in [("100k", 100_000), ("1M", 1_000_000)]:
        ours = {mode: median([run["cpu_s"] for run in found["cases"][f"ingest track {size} {mode}"]]) for mode in ("plain", "gzip", "gzip, kept")}
        for name, runs in found["cases"].items():
            if not re.match(rf"(ingest|peer) track {size} ", name):
                continue
            who = name.split(maxsplit=3)[3]
            is_ours = name.startswith("ingest")
            arrived = [run["segment"]["distinct"] for run in runs]
            cpu = median([run["cpu_s"] for run in runs])
            rows.append([f"{size}", f"**segment-s3, {who}**" if is_ours else who,
                         spread([run["cpu_s"] / max(1, run["segment"]["distinct"]) * 1e6 for run in runs]),
                         spread([run["segment"]["distinct"] / run["wall_s"] / 1e3 for run in runs], "{:.1f}"),
                         spread([run["peak_bytes"] / 1e6 for run in runs], "{:.0f}"),
                         spread(arrived, "{:,.0f}") + ("" if min(arrived) == total else f" **of {total:,}**"),
                         spread([run["segment"]["arrived"] - run["segment"]["distinct"] for run in runs], "{:.0f}"),
                         spread([run["segment"]["bodies_over_limit"] for run in runs], "{:.0f}"),
                         "–" if is_ours else " / ".join(f"{cpu / mine:.1f}" for mine in ours.values())])
    head = ["rows", "program", "CPU-s per 1M that arrived", "1,000 rows/s", "peak MB", "rows that arrived", "sent twice", "bodies over Segment's limit",
            "its CPU ÷ ours: plain / gzip / gzip, kept"]
    return table(head, rows)


def compressors(found):
    rows = []
    for files, size in [(10_000, 50_000), (1_000, 500_000)]:
        ours = found["cases"][f"export {files} {size}"]
        mine = median([run["cpu_s"] for run in ours])
        what = f"{files:,} × {size // 1000} KB"
        rows.append([what, "**segment-s3, over the S3 protocol**", spread([run["cpu_s"] for run in ours]), spread([run["wall_s"] for run in ours]), "–"])
        for name, runs in cases(found, "compress").items():
            _, count, who = name.split(maxsplit=2)
            if int(count) == files:
                cpu = [run["cpu_s"] for run in runs]
                # A bar ends a cell, also between backticks.
                command = who.replace("|", "\\|")
                rows.append([what, f"`{command}`, from and to local files", spread(cpu), spread([run["wall_s"] for run in runs]), f"{median(cpu) / mine:.1f}"])
    return table(["lines", "program", "CPU-s", "wall s", "its CPU ÷ ours"], rows)


def memory(found):
    rows = []
    for name, runs in cases(found, "memory").items():
        _, megabytes, pace = name.split()
        rows.append([megabytes, "1M, no limit on the rate" if pace == "unpaced" else "10k, 1,000 a second",
                     spread([run["wall_s"] for run in runs], "{:.1f}"), spread([run["rows"] / run["wall_s"] / 1e3 for run in runs], "{:.1f}"),
                     spread([per_million(run, "cpu_s") for run in runs]), spread([run["peak_bytes"] / 1e6 for run in runs], "{:.0f}"),
                     spread([run["wall_s"] * int(megabytes) / 1024 / run["rows"] * 1e6 for run in runs], "{:.1f}"),
                     "yes" if all(run["segment"]["distinct"] == run["rows"] for run in runs) else "**no**"])
    head = ["memory MB", "rows", "wall s", "1,000 rows/s", "CPU-s per 1M rows", "peak MB", "GB-seconds per 1M rows", "each row arrived once"]
    return table(head, rows)


def little(found):
    rows = []
    for name, runs in cases(found, "little").items():
        _, megabytes, fragments, size = name.split()
        rows.append([megabytes, f"{int(fragments):,} × {int(size) / 1000:g} KB",
                     spread([run["wall_s"] for run in runs], "{:.1f}"), f"{runs[-1]['ticks']}",
                     spread([run["cpu_s"] for run in runs]), spread([run["peak_bytes"] / 1e6 for run in runs], "{:.0f}"),
                     spread([run["wall_s"] * int(megabytes) / 1024 / run["events"] * 1e6 for run in runs], "{:.1f}"),
                     "yes" if all(run["exported"] == run["events"] for run in runs) else "**no**"])
    head = ["memory MB", "fragments", "wall s", "invocations", "CPU-s", "peak MB", "GB-seconds per 1M events", "each event exported once"]
    return table(head, rows)


REGIONS = {
    "machine": ("bench", machine),
    "ingester": ("bench", ingester),
    "requests": ("bench", operations),
    "paced": ("bench", paced),
    "start": ("bench", start_and_size),
    "exporter": ("bench", exporter),
    "receiver": ("bench", receiver),
    "machine of the peers": ("peers", machine),
    "peers": ("peers", peers),
    "compressors": ("peers", compressors),
    "machine of little memory": ("memory", machine),
    "memory": ("memory", memory),
    "memory of the exporter": ("memory", little),
}
DOCUMENTS = {
    "bench": ["machine", "ingester", "requests", "paced", "start", "exporter", "receiver"],
    "peers": ["machine of the peers", "peers", "compressors"],
    "memory": ["machine of little memory", "memory", "memory of the exporter"],
}


def document(name, found):
    parts = []
    for region in DOCUMENTS[name]:
        try:
            parts.append(REGIONS[region][1](found))
        except KeyError:
            # Not measured in this run.
            continue
    return "\n\n".join(parts) + "\n"


def fill(text, found):
    """Writes each region `<!-- figures: NAME -->` of a document anew."""
    def region(match):
        results, make = REGIONS[match[1]]
        return f"<!-- figures: {match[1]} -->\n{make(found[results])}\n<!-- /figures -->"

    return re.sub(r"<!-- figures: ([a-z ]+) -->\n.*?<!-- /figures -->", region, text, flags=re.S)
