#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/profile/profile_recorder.h"

namespace pelton {

// The record as JSON in the trace event format of Chrome, which ui.perfetto.dev opens: a track of
// steps, one of the ops inside them, and one for each request with its queue, prefill and decode.
// `op_labels` are the plan's, in the order of running: "matmul %blk.0.attn_q".
std::string ChromeTrace(const ProfileRecord& record, std::span<const std::string> op_labels);

// The time of all ops of one kind that ran on one kernel.
struct OpShare {
  std::string op;  // "matmul"
  std::string impl;
  double seconds = 0;
  double share = 0;  // of the steps' time
  uint64_t calls = 0;
};

// By time, most first; the last one, "(between ops)", is what the steps took beside their ops.
std::vector<OpShare> SummarizeOps(const ProfileRecord& record,
                                  std::span<const std::string> op_labels);

// The `most` first of them as a table, and a line about the whole.
std::string ProfileTable(const ProfileRecord& record, std::span<const std::string> op_labels,
                         size_t most);

}  // namespace pelton
