#include "serving/hub/hub.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <tuple>

#include "net/download/download.h"

namespace pelton {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr size_t kMaxListBytes = size_t{8} << 20;
constexpr size_t kMaxGgufFiles = 4096;   // more is refused
constexpr size_t kMaxNamedChoices = 40;  // in a message
constexpr std::string_view kExtension = ".gguf";

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

bool IsGgufName(std::string_view name) { return IsPlainName(name) && name.ends_with(kExtension); }

// A file of the list, and the model of which it is a part.
struct ListedFile {
  HubFile file;
  std::string model;  // the file's name without ".gguf" and without "-00001-of-00003"
  uint32_t no = 0;    // from 1; 0: the model is one file
  uint32_t parts = 0;
};

// Whether it is five digits, which are then in *number.
bool ParsePartNumber(std::string_view text, uint32_t* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return text.size() == 5 && error == std::errc() && end == text.data() + text.size();
}

ListedFile TakeNameApart(const HubFile& file) {
  ListedFile listed{.file = file, .model = file.name.substr(0, file.name.size() - 5)};
  const std::string_view model = listed.model;
  constexpr size_t kSuffix = std::string_view("-00001-of-00003").size();
  uint32_t no = 0;
  uint32_t parts = 0;
  if (model.size() > kSuffix && model[model.size() - kSuffix] == '-' &&
      model.substr(model.size() - 9, 4) == "-of-" &&
      ParsePartNumber(model.substr(model.size() - 14, 5), &no) &&
      ParsePartNumber(model.substr(model.size() - 5), &parts) && no >= 1 && no <= parts) {
    listed.no = no;
    listed.parts = parts;
    listed.model.resize(listed.model.size() - kSuffix);
  }
  return listed;
}

// Whether a model's name ends in a quantisation, letters in either case: "m-Q4_0" in "q4_0", but
// "m-IQ4_0" not.
bool HasQuant(std::string_view model, std::string_view quant) {
  if (!Lower(model).ends_with(Lower(quant))) return false;
  if (model.size() == quant.size()) return true;
  const char before = model[model.size() - quant.size() - 1];
  return before == '-' || before == '.' || before == '_';
}

Result<std::optional<HubFile>> GgufFileOf(const Json& entry) {
  if (!entry.is_object() || !entry.contains("path") || !entry["path"].is_string()) {
    return DataLoss("the hub's list of files: expected objects with a path");
  }
  HubFile file{.name = entry["path"].get<std::string>()};
  if (!IsGgufName(file.name)) return std::optional<HubFile>();
  const bool is_large = entry.contains("lfs") && entry["lfs"].is_object();
  const Json& sizes = is_large ? entry["lfs"] : entry;
  if (!sizes.contains("size") || !sizes["size"].is_number_unsigned() ||
      sizes["size"].get<uint64_t>() == 0) {
    return DataLoss(fmt::format("the hub's list of files: {} has no size", file.name));
  }
  file.bytes = sizes["size"].get<uint64_t>();
  for (const char* key : {"oid", "sha256"}) {
    if (is_large && sizes.contains(key) && sizes[key].is_string()) {
      file.sha256 = Lower(sizes[key].get<std::string>());
      if (!IsSha256(file.sha256)) {
        return DataLoss(
            fmt::format("the hub's list of files: {} has no proper SHA-256", file.name));
      }
    }
  }
  return std::optional<HubFile>(std::move(file));
}

// By name, so that the parts of a model follow each other.
Result<std::vector<ListedFile>> GgufFilesOf(std::string_view list_json) {
  // Objects in a file's object are as deep as the protocol goes; deeper ones would cost many times
  // the memory of their text.
  const auto keep = [](int depth, Json::parse_event_t, const Json&) { return depth <= 3; };
  const Json list = Json::parse(list_json, keep, false);
  if (!list.is_array()) return DataLoss("the hub's list of files: expected a JSON array");
  std::vector<ListedFile> files;
  for (const Json& entry : list) {
    ASSIGN_OR_RETURN(const std::optional<HubFile> file, GgufFileOf(entry));
    if (!file) continue;
    if (files.size() == kMaxGgufFiles) {
      return DataLoss(
          fmt::format("the hub's list of files: found more than {} GGUF files, "
                      "expected no more",
                      kMaxGgufFiles));
    }
    files.push_back(TakeNameApart(*file));
  }
  std::sort(files.begin(), files.end(), [](const ListedFile& a, const ListedFile& b) {
    return std::tie(a.model, a.parts, a.no) < std::tie(b.model, b.parts, b.no);
  });
  for (size_t i = 1; i < files.size(); ++i) {
    if (files[i].file.name == files[i - 1].file.name) {
      return DataLoss(
          fmt::format("the hub's list of files: {} is there twice", files[i].file.name));
    }
  }
  return files;
}

bool IsWebAddress(std::string_view text) {
  return text.starts_with("http://") || text.starts_with("https://");
}

// Progress on stderr, a line that is written over; nothing where stderr is no terminal.
DownloadProgress ProgressLine(const std::string& name, bool quiet) {
  if (quiet || ::isatty(STDERR_FILENO) != 1) return {};
  return [name, last = uint64_t{1000}](uint64_t done, uint64_t total) mutable {
    if (total == 0) return true;
    const uint64_t percent = done * 100 / total;
    if (percent == last) return true;
    last = percent;
    std::fprintf(stderr, "\r%s  %3llu %% of %.0f MB%s", name.c_str(),
                 static_cast<unsigned long long>(percent), static_cast<double>(total) / 1e6,
                 percent == 100 ? "\n" : "");
    return true;
  };
}

DownloadProgress ProgressOf(const HubFile& file, const PullOptions& options) {
  if (!options.progress) return ProgressLine(file.name, options.quiet);
  return [&](uint64_t done, uint64_t) { return options.progress(file, done); };
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
                          .progress = ProgressOf(file, options),
                          .proxies = options.proxies,
                          .stall_seconds = options.stall_seconds};
  if (file.bytes > 0) request.bytes = file.bytes;
  if (!file.sha256.empty()) request.sha256 = file.sha256;
  if (options.progress && !options.progress(file, 0)) return Cancelled("the pull was given up");
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
  ASSIGN_OR_RETURN(const std::vector<ListedFile> files, GgufFilesOf(list_json));
  std::vector<std::string> models;  // in the order of `files`, without projectors of images
  for (const ListedFile& listed : files) {
    if (Lower(listed.model).starts_with("mmproj")) continue;
    if (models.empty() || models.back() != listed.model) models.push_back(listed.model);
  }
  std::vector<std::string> wanted;
  if (!name.quant.empty()) {
    wanted = {name.quant};
  } else if (models.size() > 1) {
    wanted = {"Q4_K_M", "Q4_0", "Q8_0"};
  }
  std::optional<std::string> chosen;
  if (wanted.empty() && !models.empty()) chosen = models[0];
  for (const std::string& quant : wanted) {
    for (const std::string& model : models) {
      if (!chosen && HasQuant(model, quant)) chosen = model;
    }
  }
  if (!chosen) {
    const size_t named = std::min(models.size(), kMaxNamedChoices);
    std::string there = fmt::format("{}", fmt::join(models.begin(), models.begin() + named, ", "));
    if (named < models.size()) there += fmt::format(" and {} more", models.size() - named);
    return NotFound(fmt::format("{}/{}: found no GGUF file{}; there are: {}", name.user, name.repo,
                                name.quant.empty() ? "" : " for " + name.quant,
                                models.empty() ? "none" : there));
  }
  // A model as one file comes first; else the one that is split into fewest parts.
  std::vector<HubFile> parts;
  uint32_t expected = 0;
  for (const ListedFile& listed : files) {
    if (listed.model != *chosen || (!parts.empty() && listed.parts != expected)) continue;
    expected = listed.parts;
    parts.push_back(listed.file);
  }
  if (expected > 0 && parts.size() != expected) {
    return DataLoss(fmt::format("{}/{}: {} is split, found {} of its {} parts", name.user,
                                name.repo, *chosen, parts.size(), expected));
  }
  return parts;
}

Result<std::string> PullModel(const std::string& what, const PullOptions& options) {
  std::string hub = options.hub;
  while (hub.ends_with('/')) hub.pop_back();
  if (!IsWebAddress(hub)) {
    return InvalidArgument(
        fmt::format("hub \"{}\": expected an address that begins with https://", options.hub));
  }
  const bool is_address = IsWebAddress(what);
  std::optional<HubName> name;
  HubFile file;
  if (is_address) {
    const std::string path = what.substr(0, what.find_first_of("?#"));
    file.name = path.substr(path.rfind('/') + 1);
    if (!IsGgufName(file.name)) {
      return InvalidArgument(fmt::format("{}: expected the URL of a .gguf file", what));
    }
  } else {
    ASSIGN_OR_RETURN(name, ParseHubName(what));
    if (!name) {
      return InvalidArgument(fmt::format(
          "\"{}\": expected hf:USER/REPO:QUANT or the URL of a .gguf file", what.substr(0, 200)));
    }
  }
  std::error_code error;
  fs::create_directories(options.folder, error);
  if (error) return InvalidArgument(options.folder + ": cannot be made: " + error.message());
  if (is_address) {
    // The token is the hub's; nobody else may see it.
    PullOptions as_stranger = options;
    if (!what.starts_with(hub + "/")) as_stranger.token.clear();
    return PullFile(file, what, as_stranger);
  }
  const std::string list_url =
      fmt::format("{}/api/models/{}/{}/tree/main", hub, name->user, name->repo);
  ASSIGN_OR_RETURN(const std::string list, FetchText({.url = list_url,
                                                      .bearer_token = options.token,
                                                      .max_bytes = kMaxListBytes,
                                                      .proxies = options.proxies,
                                                      .stall_seconds = options.stall_seconds}));
  ASSIGN_OR_RETURN(const std::vector<HubFile> files, ChooseHubFiles(list, *name));
  std::string first;
  for (const HubFile& part : files) {
    const std::string url =
        fmt::format("{}/{}/{}/resolve/main/{}", hub, name->user, name->repo, part.name);
    ASSIGN_OR_RETURN(const std::string path, PullFile(part, url, options));
    if (first.empty()) first = path;
  }
  return first;
}

}  // namespace pelton
