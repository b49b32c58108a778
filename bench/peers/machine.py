"""Runs a program pinned and measured, and says how steady the machine was meanwhile."""
import dataclasses
import os
import pathlib
import statistics
import subprocess
import time

PROBE_MIB = 512
QUIET_SHARE = 0.10  # CPU that other processes may use before a row is called busy


@dataclasses.dataclass(frozen=True)
class Outcome:
    stdout: str
    seconds: float
    peak_rss_bytes: int
    first_output_s: float  # from spawning the process to its first byte on stdout
    others_share: float    # CPU used by others and by the hypervisor, of all CPUs, 0..1


def cpus(count):
    return sorted(os.sched_getaffinity(0))[:count]


def busy_seconds():
    """CPU time that the whole machine has spent, steal included and waiting for disks not."""
    fields = [int(x) for x in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def run_pinned(command, threads, timeout_s=1800):
    """Runs command on the first CPUs of this process with stdin closed; raises on failure."""
    pinned = ["taskset", "-c", ",".join(map(str, cpus(threads))), *map(str, command)]
    log = pathlib.Path("build/logs")
    log.mkdir(parents=True, exist_ok=True)
    before, start = busy_seconds(), time.monotonic()
    with open(log / "bench-stderr.log", "wb") as stderr:
        process = subprocess.Popen(pinned, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=stderr)
    first = process.stdout.read(1)
    first_output = time.monotonic() - start
    output = first + process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    if process.returncode != 0:
        tail = (log / "bench-stderr.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(pinned)} ended with {process.returncode}:\n{tail}")
    own = usage.ru_utime + usage.ru_stime
    others = max(0.0, busy_seconds() - before - own) / (seconds * os.cpu_count())
    return Outcome(output.decode(errors="replace"), seconds, usage.ru_maxrss * 1024, first_output,
                   others)


def dram_read_gbs(threads):
    """Memory read rate now, in GB/s: what a decode step's weight stream can reach at most."""
    command = ["build/bench/dram_probe", threads, PROBE_MIB, 5]
    return float(run_pinned(command, threads).stdout.split()[0])


def wait_until_quiet(limit_s=60):
    """Returns the share of CPU that others use, as soon as it is small or the limit has passed."""
    deadline = time.monotonic() + limit_s
    while True:
        before, start = busy_seconds(), time.monotonic()
        time.sleep(0.5)
        share = (busy_seconds() - before) / ((time.monotonic() - start) * os.cpu_count())
        if share < QUIET_SHARE or time.monotonic() > deadline:
            return share


def describe():
    """The processor's name and class, which a figure must carry."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    fields = dict(tuple(map(str.strip, line.split(":", 1)))
                  for line in text.split("\n\n", 1)[0].splitlines() if ":" in line)
    flags = set(fields.get("flags", "").split())
    isa = next((name for name, flag in (("AMX", "amx_int8"), ("AVX-512 BF16", "avx512_bf16"),
                                        ("AVX-512 VNNI", "avx512_vnni"), ("AVX-512", "avx512f"),
                                        ("AVX2", "avx2")) if flag in flags), "generic")
    return f"{fields.get('model name', 'unknown processor')}, {isa}, {os.cpu_count()} CPUs"


def median(values):
    return statistics.median(values)
