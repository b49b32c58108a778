#include "serving/model/hub.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "net/download/download.h"

namespace pelton {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr size_t kMaxListBytes = size_t{8} << 20;

bool IsPlainName(std::string_view name) {
  if (name.empty() || name.size() > 200 || name[0] == '.' || name.find("..") != name.npos) {
    return false;
  }
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool IsSha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// "name" of "name-00001-of-00003.gguf" and of "name.gguf".
std::string StemOf(const std::string& file) {
  std::string stem = file.substr(0, file.size() - 5);
  const size_t of = stem.rfind("-of-");
  if (of != std::string::npos && of >= 6 && stem.size() == of + 9) stem.resize(of - 6);
  return stem;
}

Result<std::vector<HubFile>> GgufFilesOf(std::string_view list_json) {
  const Json list = Json::parse(list_json, nullptr, false);
  if (!list.is_array()) return DataLoss("the hub's list of files: expected a JSON array");
  std::vector<HubFile> files;
  for (const Json& entry : list) {
    if (!entry.is_object() || !entry.contains("path") || !entry["path"].is_string()) {
      return DataLoss("the hub's list of files: expected objects with a path");
    }
    HubFile file{.name = entry["path"].get<std::string>()};
    if (!Lower(file.name).ends_with(".gguf") || !IsPlainName(file.name)) continue;
    const Json& sizes = entry.contains("lfs") && entry["lfs"].is_object() ? entry["lfs"] : entry;
    if (!sizes.contains("size") || !sizes["size"].is_number_unsigned()) {
      return DataLoss(fmt::format("the hub's list of files: {} has no size", file.name));
    }
    file.bytes = sizes["size"].get<uint64_t>();
    for (const char* key : {"oid", "sha256"}) {
      if (&sizes != &entry && sizes.contains(key) && sizes[key].is_string()) {
        file.sha256 = Lower(sizes[key].get<std::string>());
      }
    }
    if (!file.sha256.empty() && !IsSha256(file.sha256)) {
      return DataLoss(fmt::format("the hub's list of files: {} has no proper SHA-256", file.name));
    }
    files.push_back(std::move(file));
  }
  return files;
}

// Progress on stderr, a line that is written over; nothing where stderr is no terminal.
DownloadProgress ProgressLine(const std::string& name, bool quiet) {
  if (quiet || ::isatty(STDERR_FILENO) != 1) return {};
  return [name, last = uint64_t{1000}](uint64_t done, uint64_t total) mutable {
    const uint64_t percent = total == 0 ? 0 : done * 100 / total;
    if (percent == last) return;
    last = percent;
    std::fprintf(stderr, "\r%s  %3llu %% of %.0f MB%s", name.c_str(),
                 static_cast<unsigned long long>(percent), static_cast<double>(total) / 1e6,
                 percent == 100 ? "\n" : "");
  };
}

Result<std::string> PullFile(const HubFile& file, const std::string& url,
                             const PullOptions& options) {
  const std::string path = options.folder + "/" + file.name;
  std::error_code error;
  if (fs::exists(path, error) && (file.bytes == 0 || fs::file_size(path, error) == file.bytes)) {
    if (file.sha256.empty()) return path;
    ASSIGN_OR_RETURN(const std::string digest, Sha256OfFile(path));
    if (digest == file.sha256) return path;
  }
  DownloadRequest request{.url = url,
                          .path = path,
                          .bearer_token = options.token,
                          .progress = ProgressLine(file.name, options.quiet)};
  if (file.bytes > 0) request.bytes = file.bytes;
  if (!file.sha256.empty()) request.sha256 = file.sha256;
  RETURN_IF_ERROR(Download(request));
  return path;
}

}  // namespace

Result<std::optional<HubName>> ParseHubName(std::string_view text) {
  if (text.substr(0, 3) != "hf:") return std::optional<HubName>();
  const std::string_view rest = text.substr(3);
  const size_t slash = rest.find('/');
  const size_t colon = rest.find(':');
  if (slash != std::string_view::npos && (colon == std::string_view::npos || slash < colon)) {
    HubName name{.user = std::string(rest.substr(0, slash)),
                 .repo = std::string(
                     rest.substr(slash + 1, colon == rest.npos ? rest.npos : colon - slash - 1)),
                 .quant = colon == rest.npos ? "" : std::string(rest.substr(colon + 1))};
    if (IsPlainName(name.user) && IsPlainName(name.repo) &&
        (colon == rest.npos || IsPlainName(name.quant))) {
      return std::optional<HubName>(std::move(name));
    }
  }
  return InvalidArgument(
      fmt::format("\"{}\": expected hf:USER/REPO or hf:USER/REPO:QUANT", text.substr(0, 200)));
}

Result<std::vector<HubFile>> ChooseHubFiles(std::string_view list_json, const HubName& name) {
  ASSIGN_OR_RETURN(const std::vector<HubFile> files, GgufFilesOf(list_json));
  std::vector<std::string> stems;
  for (const HubFile& file : files) {
    const std::string stem = StemOf(file.name);
    if (std::find(stems.begin(), stems.end(), stem) == stems.end()) stems.push_back(stem);
  }
  std::vector<std::string> wanted;
  if (!name.quant.empty()) {
    wanted = {name.quant};
  } else if (stems.size() > 1) {
    wanted = {"Q4_K_M", "Q4_0", "Q8_0"};
  }
  std::string chosen = wanted.empty() && !stems.empty() ? stems[0] : "";
  for (const std::string& quant : wanted) {
    for (const std::string& stem : stems) {
      if (chosen.empty() && Lower(stem).ends_with(Lower(quant))) chosen = stem;
    }
  }
  if (chosen.empty()) {
    return NotFound(
        fmt::format("{}/{}: found no GGUF file{}; there are: {}", name.user, name.repo,
                    name.quant.empty() ? "" : " for " + name.quant,
                    stems.empty() ? "none" : fmt::format("{}", fmt::join(stems, ", "))));
  }
  std::vector<HubFile> parts;
  for (const HubFile& file : files) {
    if (StemOf(file.name) == chosen) parts.push_back(file);
  }
  std::sort(parts.begin(), parts.end(),
            [](const HubFile& a, const HubFile& b) { return a.name < b.name; });
  return parts;
}

Result<std::string> PullModel(const std::string& what, const PullOptions& options) {
  std::error_code error;
  fs::create_directories(options.folder, error);
  if (error) return InvalidArgument(options.folder + ": cannot be made: " + error.message());
  if (what.rfind("http://", 0) == 0 || what.rfind("https://", 0) == 0) {
    const size_t slash = what.rfind('/');
    HubFile file{.name = what.substr(slash + 1, what.find('?', slash) - slash - 1)};
    if (!IsPlainName(file.name) || !Lower(file.name).ends_with(".gguf")) {
      return InvalidArgument(fmt::format("{}: expected the URL of a .gguf file", what));
    }
    return PullFile(file, what, options);
  }
  ASSIGN_OR_RETURN(const std::optional<HubName> name, ParseHubName(what));
  if (!name) {
    return InvalidArgument(fmt::format(
        "\"{}\": expected hf:USER/REPO:QUANT or the URL of a .gguf file", what.substr(0, 200)));
  }
  ASSIGN_OR_RETURN(
      const std::string list,
      FetchText(fmt::format("{}/api/models/{}/{}/tree/main", options.hub, name->user, name->repo),
                options.token, kMaxListBytes));
  ASSIGN_OR_RETURN(const std::vector<HubFile> files, ChooseHubFiles(list, *name));
  std::string first;
  for (const HubFile& file : files) {
    ASSIGN_OR_RETURN(const std::string path,
                     PullFile(file,
                              fmt::format("{}/{}/{}/resolve/main/{}", options.hub, name->user,
                                          name->repo, file.name),
                              options));
    if (first.empty()) first = path;
  }
  return first;
}

}  // namespace pelton
