# shellcheck shell=bash
# Sourced by the other scripts. stage TITLE LOG COMMAND... runs the command with all its output in
# build/logs/LOG.log and prints one line: the title, ok or failed, and the time. On failure it adds
# the end of the log. In a terminal the log's last line is shown while the command runs.

stage_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
stage_log_dir="$stage_root/build/logs"

stage() {
  local title="$1" log="$stage_log_dir/$2.log" status=0
  shift 2
  mkdir -p "$stage_log_dir"
  local start=$SECONDS watcher=""
  if [[ -t 2 ]]; then
    stage_watch "$title" "$log" &
    watcher=$!
  fi
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if [[ -n "$watcher" ]]; then
    kill "$watcher" 2>/dev/null
    wait "$watcher" 2>/dev/null || true
    printf '\r\033[K' >&2
  fi
  local seconds=$((SECONDS - start))
  if [[ $status -eq 0 ]]; then
    # A step that had nothing to do is not worth a line, unless the caller wants a full list.
    if [[ $seconds -ge 2 || -n "${STAGE_VERBOSE:-}" ]]; then
      printf '%-34s ok      %4d s\n' "$title" "$seconds" >&2
    fi
    return 0
  fi
  printf '%-34s FAILED  %4d s  (exit %d)\n' "$title" "$seconds" "$status" >&2
  printf -- '--- end of %s\n' "$log" >&2
  tail -n "${STAGE_TAIL:-60}" "$log" >&2
  printf -- '---\n' >&2
  return "$status"
}

stage_watch() {
  local line
  while sleep 1; do
    line="$(tail -c 400 "$2" 2>/dev/null | tr '\r' '\n' | tail -n 1 | tr -dc '[:print:]')"
    printf '\r\033[K%s: %.70s' "$1" "$line" >&2
  done
}
