#pragma once

#include <functional>

#include "command.h"

namespace pelton {

// Parses the arguments of main() against Commands() and runs the verb: command line before
// environment before default. Wrong usage: one sentence on stderr, exit code 2.
int ParseAndRun(int argc, char** argv);

// What --help prints: all of it, or with `filter` only options that contain the word.
std::string HelpText(const Command& command, std::string_view filter);
std::string OverviewText();

}  // namespace pelton
