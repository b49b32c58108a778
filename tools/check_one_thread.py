#!/usr/bin/env python3
"""Fails if a program could start a thread: if it imports one of the functions that do.

The thread sanitizer's stage leaves out the tests that pass this (ONE_THREAD in cmake/layers.cmake).
"""
import re
import subprocess
import sys

STARTS = re.compile(r"pthread_create|thrd_create|_M_start_thread|GOMP_parallel|__kmpc_fork")

program = sys.argv[1]
imports = subprocess.run(["nm", "--dynamic", "--undefined-only", program], capture_output=True,
                         text=True, check=True).stdout
found = sorted({line.split()[-1] for line in imports.splitlines() if STARTS.search(line)})
if found:
    print(f"{program} can start threads, by {', '.join(found)}: take ONE_THREAD from its library")
    sys.exit(1)
print(f"{program} starts no thread")
