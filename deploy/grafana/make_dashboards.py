#!/usr/bin/env python3
"""Writes pelton.json and vllm.json, the Grafana dashboards beside this file.

Usage: make_dashboards.py [--check]. With --check nothing is written, and the exit code tells
whether the files are what this program makes.
"""

import json
import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Names:
    """How one set of metric names states what the panels show."""

    def __init__(self, labels, **names):
        self.labels = labels
        self.names = names

    def series(self, what, suffix="", more=""):
        return f"{self.names[what]}{suffix}{{{self.labels}{',' + more if more else ''}}}"

    def rate(self, what, suffix="", by=""):
        return f"sum{by}(rate({self.series(what, suffix)}[$__rate_interval]))"

    def quantile(self, what, quantile):
        return f"histogram_quantile({quantile}, {self.rate(what, '_bucket', ' by (le) ')})"

    def mean(self, what):
        return f"{self.rate(what, '_sum')} / {self.rate(what, '_count')}"


PELTON = Names(
    'job="$job"', running="pelton_requests_running", waiting="pelton_requests_waiting",
    prompt="pelton_prompt_tokens_total", output="pelton_output_tokens_total",
    cached="pelton_prompt_cached_tokens_total", queried="pelton_prompt_tokens_total",
    finished="pelton_requests_finished_total", preempted="pelton_preemptions_total",
    first="pelton_first_token_seconds", between="pelton_inter_token_seconds",
    whole="pelton_request_seconds", queue="pelton_request_queue_seconds",
    prefill="pelton_request_prefill_seconds", decode="pelton_request_decode_seconds",
    step_tokens="pelton_engine_step_tokens", step="pelton_engine_step_seconds",
    step_sequences="pelton_engine_step_sequences", prompt_length="pelton_request_prompt_tokens",
    output_length="pelton_request_output_tokens", held="pelton_kv_blocks_held",
    idle="pelton_kv_blocks_idle", blocks="pelton_kv_blocks", refused="pelton_http_refused_total",
    routes="pelton_http_requests_total", connections="pelton_http_connections",
    memory="process_resident_memory_bytes", cpu="process_cpu_seconds_total",
    files="process_open_fds")

VLLM = Names(
    'model_name="$model_name"', running="vllm:num_requests_running",
    waiting="vllm:num_requests_waiting", prompt="vllm:prompt_tokens_total",
    output="vllm:generation_tokens_total", cached="vllm:prefix_cache_hits_total",
    queried="vllm:prefix_cache_queries_total", finished="vllm:request_success_total",
    preempted="vllm:num_preemptions_total", first="vllm:time_to_first_token_seconds",
    between="vllm:inter_token_latency_seconds", whole="vllm:e2e_request_latency_seconds",
    queue="vllm:request_queue_time_seconds", prefill="vllm:request_prefill_time_seconds",
    decode="vllm:request_decode_time_seconds", step_tokens="vllm:iteration_tokens_total",
    prompt_length="vllm:request_prompt_tokens", output_length="vllm:request_generation_tokens",
    usage="vllm:kv_cache_usage_perc")


class Board:
    def __init__(self, uid, title, variables):
        self.panels = []
        self.place = [0, 0]
        self.board = {
            "uid": uid, "title": title, "tags": ["pelton"], "timezone": "browser",
            "schemaVersion": 39, "version": 1, "editable": True, "refresh": "10s",
            "time": {"from": "now-30m", "to": "now"},
            "templating": {"list": [
                {"name": "datasource", "label": "Data source", "type": "datasource",
                 "query": "prometheus"}] + [
                {"name": name, "label": label, "type": "query", "datasource": SOURCE,
                 "refresh": 2, "query": {"query": query, "refId": "A"}}
                for name, label, query in variables]}}

    def panel(self, title, unit, *lines, kind="timeseries", most=None):
        x, y = self.place
        width, height = 8, 8
        defaults = {"unit": unit, "custom": {"fillOpacity": 10, "showPoints": "never"}, "min": 0}
        if most is not None:
            defaults["max"] = most
        self.panels.append({
            "id": len(self.panels) + 1, "type": kind, "title": title, "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": width, "h": height},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"},
                        "tooltip": {"mode": "multi"}},
            "targets": [{"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expr,
                         "legendFormat": legend} for i, (legend, expr) in enumerate(lines)]})
        self.place = [x + width, y] if x + 2 * width <= 24 else [0, y + height]

    def text(self):
        return json.dumps({**self.board, "panels": self.panels}, indent=1) + "\n"


def percentiles(names, what):
    return [("p50", names.quantile(what, 0.5)), ("p90", names.quantile(what, 0.9)),
            ("p99", names.quantile(what, 0.99)), ("mean", names.mean(what))]


def add_requests(board, names):
    board.panel("Requests", "short", ("running", f"sum({names.series('running')})"),
                ("waiting", f"sum({names.series('waiting')})"))
    board.panel("Tokens per second", "short", ("prompt", names.rate("prompt")),
                ("from the prefix cache", names.rate("cached")), ("output", names.rate("output")))
    board.panel("Time to first token", "s", *percentiles(names, "first"))
    board.panel("Time between tokens", "s", *percentiles(names, "between"))
    board.panel("Time of a request", "s", *percentiles(names, "whole"))
    board.panel("Where the time goes (mean)", "s", ("queue", names.mean("queue")),
                ("prefill", names.mean("prefill")), ("decode", names.mean("decode")))
    board.panel("Time in the queue", "s", *percentiles(names, "queue"))
    board.panel("Prefix cache hits", "percentunit",
                ("of prompt tokens", f"{names.rate('cached')} / {names.rate('queried')}"), most=1)
    board.panel("Tokens in a step", "short", *percentiles(names, "step_tokens"))
    board.panel("Length of prompts", "short", *percentiles(names, "prompt_length"))
    board.panel("Length of answers", "short", *percentiles(names, "output_length"))
    board.panel("Preemptions per second", "short", ("preemptions", names.rate("preempted")))


def pelton():
    names = PELTON
    board = Board("pelton-server", "Pelton",
                  [("job", "Job", "label_values(pelton_build_info, job)")])
    add_requests(board, names)
    board.panel("Ends of sequences per second", "short",
                ("{{reason}}", names.rate("finished", by=" by (reason) ")))
    board.panel("KV cache", "percentunit",
                ("in use", f"sum({names.series('held')}) / sum({names.series('blocks')})"),
                ("kept for reuse", f"sum({names.series('idle')}) / sum({names.series('blocks')})"),
                most=1)
    board.panel("Time of a step", "s", *percentiles(names, "step"))
    board.panel("Sequences in a step", "short", *percentiles(names, "step_sequences"))
    board.panel("Requests per second", "short",
                ("{{route}}", names.rate("routes", by=" by (route) ")))
    board.panel("Refusals per second", "short",
                ("{{reason}}", names.rate("refused", by=" by (reason) ")))
    board.panel("Connections and files", "short",
                ("connections", f"sum({names.series('connections')})"),
                ("open files", f"sum({names.series('files')})"))
    board.panel("Memory", "bytes", ("resident", f"sum({names.series('memory')})"))
    board.panel("Processor", "short", ("cores", names.rate("cpu")))
    return board.text()


def vllm():
    names = VLLM
    board = Board("pelton-vllm-names", "Pelton under vLLM's names",
                  [("model_name", "Model", "label_values(vllm:num_requests_running, model_name)")])
    add_requests(board, names)
    board.panel("Ends of sequences per second", "short",
                ("{{finished_reason}}", names.rate("finished", by=" by (finished_reason) ")))
    board.panel("KV cache", "percentunit", ("in use", f"max({names.series('usage')})"), most=1)
    return board.text()


def main():
    same = True
    for name, text in [("pelton.json", pelton()), ("vllm.json", vllm())]:
        path = os.path.join(FOLDER, name)
        if "--check" in sys.argv[1:]:
            with open(path, encoding="utf-8") as file:
                same = same and file.read() == text
        else:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    if not same:
        print("the dashboards differ from what make_dashboards.py makes: run it")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
