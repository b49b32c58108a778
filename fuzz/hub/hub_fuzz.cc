#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "serving/hub/hub.h"

// Input: a line that is a model's name, then the hub's list of files. What is accepted becomes
// paths and sizes of files, so it must keep the promises of hub.h whatever the hub says.
namespace pelton {
namespace {

constexpr size_t kMaxFiles = 4096;
constexpr size_t kMaxMessageBytes = 16 << 10;

void Check(bool holds) {
  if (!holds) __builtin_trap();
}

void CheckPlain(std::string_view name) {
  Check(!name.empty() && name.size() <= 200 && name[0] != '.');
  Check(name.find("..") == name.npos);
  Check(name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789._-") == name.npos);
}

std::string Lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

HubName NameOf(std::string_view text) {
  const Result<std::optional<HubName>> parsed = ParseHubName(text);
  Check(text.starts_with("hf:") ? !parsed.ok() || parsed->has_value()
                                : parsed.ok() && !parsed->has_value());
  if (!parsed.ok()) {
    Check(parsed.status().code() == StatusCode::kInvalidArgument);
    Check(parsed.status().message().size() <= kMaxMessageBytes);
  }
  if (!parsed.ok() || !parsed->has_value()) return {.user = "u", .repo = "r"};
  const HubName& name = **parsed;
  CheckPlain(name.user);
  CheckPlain(name.repo);
  if (!name.quant.empty()) CheckPlain(name.quant);
  const std::string again =
      "hf:" + name.user + "/" + name.repo + (name.quant.empty() ? "" : ":" + name.quant);
  Check(again == text);
  return name;
}

void CheckFiles(const std::vector<HubFile>& files, const HubName& name) {
  Check(!files.empty() && files.size() <= kMaxFiles);
  std::set<std::string> names;
  for (const HubFile& file : files) {
    CheckPlain(file.name);
    Check(file.name.ends_with(".gguf"));
    Check(names.empty() || *names.rbegin() < file.name);  // differ, and parts are in their order
    names.insert(file.name);
    Check(file.bytes > 0);
    Check(file.sha256.empty() || file.sha256.size() == 64);
    Check(file.sha256.find_first_not_of("0123456789abcdef") == std::string::npos);
    Check(Lower(file.name).find(Lower(name.quant)) != std::string::npos);
  }
}

void ChooseOne(std::string_view list, const HubName& name) {
  const Result<std::vector<HubFile>> files = ChooseHubFiles(list, name);
  if (files.ok()) {
    CheckFiles(*files, name);
    return;
  }
  Check(files.status().code() == StatusCode::kNotFound ||
        files.status().code() == StatusCode::kDataLoss);
  Check(!files.status().message().empty());
  Check(files.status().message().size() <= kMaxMessageBytes);
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t newline = input.find('\n');
  const std::string_view list = newline == input.npos ? "" : input.substr(newline + 1);
  pelton::HubName name = pelton::NameOf(input.substr(0, newline));
  pelton::ChooseOne(list, name);
  name.quant.clear();
  pelton::ChooseOne(list, name);
  return 0;
}
