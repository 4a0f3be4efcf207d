#!/usr/bin/env python3
"""The benchmark: runs `measure` in rounds, and makes tables of what it says.

    run.py bench   the three functions                    target/bench/bench.json and bench.md
    run.py peers   the ingester and exporter beside other programs, in the same rounds   target/bench/peers.json and peers.md
    run.py memory  ingester and exporter with the CPU time and the memory of small functions   target/bench/memory.json and memory.md
    run.py docs    copies all to bench/results/, and writes their tables into docs/performance.md
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time
import zipfile

import tables

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARIES = TARGET / "release"
HOME = ROOT / "target" / "bench"
FUNCTIONS = ["ingester", "exporter", "receiver"]
SIZES = {"10k": 10_000, "100k": 100_000, "1M": 1_000_000, "10M": 10_000_000}

# How the ingester sends. The last one is the default.
MODES = {
    "plain": ["GZIP_REQUESTS=false", "KEEP_FOR_EXPORT=false"],
    "gzip": ["GZIP_REQUESTS=true", "KEEP_FOR_EXPORT=false"],
    "gzip, kept": [],
}


def binary(name):
    return str(BINARIES / name)


def rows_file(kind, size):
    """A file of seeded rows, made once."""
    path = HOME / "data" / f"{kind}_{size}.csv"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        subprocess.run([binary("measure"), "rows", kind, str(SIZES[size]), str(draft)], check=True)
        draft.rename(path)
    return str(path)


def lines_folder(files, kilobytes):
    """Files of the lines that the exporter's fragments have, made once."""
    path = HOME / "data" / f"lines_{files}_{kilobytes}"
    if not path.exists():
        draft = path.with_suffix(".draft")
        subprocess.run([binary("measure"), "lines", str(draft), str(files), str(kilobytes * 1000)], check=True)
        draft.rename(path)
    return path


def ingest(kind, size, mode, *settings):
    return ["ingest", binary("ingester"), rows_file(kind, size), *MODES[mode], *settings]


def export(fragments, size):
    return ["export", binary("exporter"), str(fragments), str(size)]


def bench_cases(options):
    cases = {}
    for size in options.rows.split(","):
        for mode in MODES:
            cases[f"ingest track {size} {mode}"] = ingest("track", size, mode)
    smallest = options.rows.split(",")[0]
    for kind in ["identify", "object_rooms", "track_wide"]:
        cases[f"ingest {kind} {smallest} gzip, kept"] = ingest(kind, smallest, "gzip, kept")
    cases["export 10000 50000"] = export(10_000, 50_000)
    cases["export 1000 500000"] = export(1_000, 500_000)
    cases[f"export {options.events} 500"] = export(options.events, 500)
    return cases


def bench_once(options):
    """What is measured once, not in each round."""
    seconds = str(options.seconds)
    server = binary("segment-s3")
    return {
        "start": ["start", binary("ingester"), "20"],
        "ingest track 10k paced": ingest("track", "10k", "gzip, kept", "EVENTS_PER_SECOND=1000"),
        "receive": ["receive", server, "256", seconds, "40", "half=200"],
        "receive killed": ["receive", server, "256", str(max(10, options.seconds // 3)), "40", "half=200", "kill"],
    }


NODE, PYTHON = "node", str(HOME / "peers" / "venv" / "bin" / "python")
# The name in the tables, the command, and the number of rows that it is given at most.
PEERS = {
    "csv-parse + undici by hand": (["node", "node_by_hand.mjs"], "1M"),
    "csv-parse + undici by hand, gzip": (["env", "MODE=gzip", "node", "node_by_hand.mjs"], "1M"),
    "@segment/analytics-node": (["node", "node_library.mjs"], "100k"),
    "@segment/analytics-node, tuned": (["env", "MODE=tuned", "node", "node_library.mjs"], "100k"),
    "the walkthrough's sample": (["node", "walkthrough.cjs"], "100k"),
    "segment-analytics-python": ([PYTHON, "python_library.py"], "100k"),
    "segment-analytics-python, tuned": (["env", "MODE=tuned", PYTHON, "python_library.py"], "100k"),
}
# Each fifth of the files becomes one object, as at the exporter.
COMPRESSORS = {"cat | igzip -1": "igzip -1 -c", "cat | pigz": "pigz -c", "cat | gzip -6": "gzip -6 -c", "cat": "cat"}


def compress(folder, command):
    """All files of a folder through one compressor, into five objects."""
    out = HOME / "out"
    out.mkdir(exist_ok=True)
    script = f"""set -e; cd {folder}; find . -name '*.json' | sort > {out}/names
        split -n l/5 {out}/names {out}/part-
        for part in {out}/part-??; do xargs cat < $part | {command} > $part.gz; done"""
    return ["program", "bash", "-c", script]


def peer_cases(options):
    folder = HOME / "peers"
    cases = {}
    for size in ["100k", "1M"]:
        for mode in MODES:
            cases[f"ingest track {size} {mode}"] = ingest("track", size, mode)
        for name, (command, most) in PEERS.items():
            if SIZES[size] <= SIZES[most]:
                words = [str(folder / word) if (folder / word).exists() else word for word in command]
                # "File descriptors: 1,024", Lambda quotas.
                within = ["bash", "-c", 'ulimit -n 1024; exec "$@"', "bash"]
                cases[f"peer track {size} {name}"] = ["peer", rows_file("track", size), *within, *words]
    for files, kilobytes in [(10_000, 50), (1_000, 500)]:
        cases[f"export {files} {kilobytes * 1000}"] = export(files, kilobytes * 1000)
        for name, command in COMPRESSORS.items():
            cases[f"compress {files} {name}"] = compress(lines_folder(files, kilobytes), command)
    return cases


# "At 1,769 MB, a function has the equivalent of one vCPU", Lambda developer guide.
MEMORY_MB_PER_CPU = 1_769
PERIOD_US = 100_000
LATENCY_MS, MEGABITS = 20, 300


def limited(function, memory_mb):
    """A script that runs a function with the share of a CPU, and the memory, that Lambda gives it at this size."""
    root = pathlib.Path("/sys/fs/cgroup")
    quota = PERIOD_US * memory_mb // MEMORY_MB_PER_CPU
    name = f"segment-s3-{function}-{memory_mb}"
    if (root / "cgroup.controllers").exists():
        groups = {root / name: {"cpu.max": f"{quota} {PERIOD_US}", "memory.max": memory_mb << 20}}
    else:
        groups = {root / "cpu" / name: {"cpu.cfs_quota_us": quota}, root / "memory" / name: {"memory.limit_in_bytes": memory_mb << 20}}
    for group, files in groups.items():
        group.mkdir(exist_ok=True)
        for file, value in files.items():
            (group / file).write_text(f"{value}\n")
    script = HOME / f"{function}-{memory_mb}"
    joins = "".join(f"echo $$ > {group}/cgroup.procs\n" for group in groups)
    script.write_text(f"#!/bin/sh\n{joins}exec {binary(function)}\n")
    script.chmod(0o755)
    return str(script)


def memory_cases(options):
    cases = {}
    for memory_mb in [128, 256, 512, MEMORY_MB_PER_CPU]:
        ingester, exporter = limited("ingester", memory_mb), limited("exporter", memory_mb)
        own = [f"LATENCY_MS={LATENCY_MS}", f"AWS_LAMBDA_FUNCTION_MEMORY_SIZE={memory_mb}"]
        cases[f"memory {memory_mb} unpaced"] = ["ingest", ingester, rows_file("track", "1M"), *own]
        cases[f"memory {memory_mb} paced"] = ["ingest", ingester, rows_file("track", "10k"), *own, "EVENTS_PER_SECOND=1000"]
        for fragments, size in [(10_000, 50_000), (10_000, 500)]:
            cases[f"little {memory_mb} {fragments} {size}"] = ["export", exporter, str(fragments), str(size), *own]
    return cases


def prepare_peers():
    """Installs the pinned packages beside copies of the scripts, so that the repository stays clean."""
    folder = HOME / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    for file in (ROOT / "bench" / "peers").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True)
    if not pathlib.Path(PYTHON).exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    requirements = str(folder / "requirements.txt")
    subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements], check=True)


def measure(name, command):
    began = time.time()
    print(f"{name} …", end="", file=sys.stderr, flush=True)
    environment = {**os.environ, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "NODE_NO_WARNINGS": "1"}
    # A network of its own, whose loopback has so many bits a second in both directions together.
    narrow = f"ip link set lo up; tc qdisc add dev lo root tbf rate {MEGABITS}mbit burst 256kb latency 50ms; exec \"$@\""
    within = ["unshare", "-n", "bash", "-c", narrow, "bash"] if {"memory", "little"} & set(name.split()) else []
    answer = subprocess.run([*within, binary("measure"), *command], env=environment, capture_output=True, text=True)
    if answer.returncode != 0:
        print(" failed", file=sys.stderr)
        sys.exit(f"{name}: {answer.stderr[-4000:]}")
    run = json.loads(answer.stdout.strip().splitlines()[-1])
    run["load"] = os.getloadavg()[0]
    print(f" {time.time() - began:.1f} s", file=sys.stderr)
    return run


def sizes():
    """Bytes of each bootstrap, and of its zip as Lambda gets it."""
    found = {}
    for function in FUNCTIONS:
        archive = HOME / f"{function}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
            out.write(binary(function), "bootstrap")
        found[function] = {"bootstrap": os.path.getsize(binary(function)), "zip": archive.stat().st_size}
    return found


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    except FileNotFoundError:
        return "absent"


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = int(open("/proc/meminfo").readline().split()[1]) // 1024**2
    system = next((line.split("=")[1].strip().strip('"') for line in open("/etc/os-release") if line.startswith("PRETTY_NAME")), "")
    versions = {name: output(name, "--version").splitlines()[0] for name in ["rustc", "node", "python3", "pigz"] if output(name, "--version")}
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_gib": memory, "system": system, "kernel": platform.release(), "versions": versions}


def run(name, cases, once, runs):
    """Rounds: in each, every case has its turn."""
    if platform.system() != "Linux":
        sys.exit("the benchmark reads /proc: it needs Linux")
    HOME.mkdir(parents=True, exist_ok=True)
    found = {"at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "commit": output("git", "rev-parse", "--short", "HEAD"),
             "machine": machine(), "load_before": os.getloadavg()[0], "cases": {}}
    began = time.time()
    for name_of_case, command in once.items():
        found["cases"][name_of_case] = [measure(name_of_case, command)]
    for turn in range(runs):
        for name_of_case, command in cases.items():
            label = f"round {turn + 1} of {runs}: {name_of_case}"
            found["cases"].setdefault(name_of_case, []).append(measure(label, command))
    found["sizes"] = sizes()
    found["seconds"] = round(time.time() - began)
    (HOME / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    text = tables.document(name, found)
    (HOME / f"{name}.md").write_text(text)
    print(text)


def docs():
    kept = ROOT / "bench" / "results"
    kept.mkdir(exist_ok=True)
    for name in ["bench", "peers", "memory"]:
        new = HOME / f"{name}.json"
        if new.exists():
            (kept / f"{name}.json").write_bytes(new.read_bytes())
    found = {file.stem: json.loads(file.read_text()) for file in sorted(kept.glob("*.json"))}
    path = ROOT / "docs" / "performance.md"
    path.write_text(tables.fill(path.read_text(), found))
    print("docs/performance.md is written")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("command", choices=["bench", "peers", "memory", "docs"])
parser.add_argument("--rows", default="100k,1M", help="sizes of the files of track calls: 10k, 100k, 1M, 10M")
parser.add_argument("--events", type=int, default=100_000, help="fragments of one event each for the exporter")
parser.add_argument("--seconds", type=int, default=60, help="how long the receiver is under load")
parser.add_argument("--runs", type=int, default=3, help="rounds")
parser.add_argument("--only", default="", help="cases whose names contain this text")


def main():
    options = parser.parse_args()
    if options.command == "docs":
        return docs()
    if options.command == "peers":
        prepare_peers()
        cases, once = peer_cases(options), {}
    elif options.command == "memory":
        cases, once = memory_cases(options), {}
    else:
        cases, once = bench_cases(options), bench_once(options)
    picked = [{name: command for name, command in part.items() if options.only in name} for part in (cases, once)]
    return run(options.command, *picked, options.runs)


if __name__ == "__main__":
    main()
