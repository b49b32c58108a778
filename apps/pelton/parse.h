#pragma once

#include <functional>

#include "command.h"

namespace pelton {

// Parses the arguments of main() against Commands() and runs the verb: command line before
// environment before default. Wrong usage: one sentence on stderr, exit code 2.
int ParseAndRun(int argc, char** argv);

// What --help prints: the everyday options; with the filter "all" all of them, with another word
// those that contain it.
std::string HelpText(const Command& command, std::string_view filter);
std::string OverviewText();

}  // namespace pelton
