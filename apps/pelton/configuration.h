#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "serving/config/config_tree.h"

namespace pelton {

struct Option;

// Where the value of an option came from.
enum class ValueSource { kDefault, kFile, kEnvironment, kCommandLine };
std::string_view ValueSourceName(ValueSource source);

// The file from which a command takes values of its options, and what came of it.
struct Configuration {
  std::string path;  // empty: none
  ConfigNode tree;
  std::vector<std::string> own_names = {};       // of members that are no options
  std::map<std::string, ValueSource> sources{};  // of options, by LongName()

  // "FILE: line 3, column 5: WHAT".
  Status Error(const ConfigNode& node, std::string_view what) const;
  // The member of the tree; null if it is not there.
  const ConfigNode* Find(std::string_view name) const;
};

// The option that a name in a file means: any of its long names, with "_" for "-" if one likes;
// null if it is none of them.
const Option* FindOption(const std::vector<Option>& options, std::string_view name);

// Sets an option's target. InvalidArgument, "NAME: found X, expected Y", if the value does not fit.
Status SetOption(const Option& option, const ConfigNode& value);

// Sets options from the members of a map, but for those that `skip` names. InvalidArgument with the
// place, for names that are neither options nor in own_names, too, with the nearest that is.
Status SetOptions(const Configuration& configuration, const std::vector<Option>& options,
                  const ConfigNode& map, const std::function<bool(const Option&)>& skip);

// The value of an option's target, as a file would say it; secrets are left out.
std::string ValueText(const Option& option);

}  // namespace pelton
