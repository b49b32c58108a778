#include "serving/model/model_store.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "base/nearest.h"

namespace pelton {
namespace {

namespace fs = std::filesystem;

bool Exists(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0;
}

uint64_t FolderBytes(const fs::path& folder) {
  uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_regular_file(error)) bytes += entry.file_size(error);
  }
  return bytes;
}

}  // namespace

std::vector<StoredModel> ListStore(const std::string& folder) {
  std::vector<StoredModel> models;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const fs::path& path = entry.path();
    if (entry.is_directory(error)) {
      if (!Exists(path / "config.json")) continue;
      const std::string folder_name = path.filename().string();
      const std::string name =
          folder_name == kDefaultEncoderFolder ? kDefaultEncoderName : folder_name;
      models.push_back({name, path.string(), FolderBytes(path)});
    } else if (path.extension() == ".gguf") {
      const std::string file = path.filename().string();
      const std::string name = file == kDefaultModelFile ? kDefaultModelName : path.stem().string();
      models.push_back({name, path.string(), entry.file_size(error)});
    }
  }
  std::sort(models.begin(), models.end(),
            [](const StoredModel& a, const StoredModel& b) { return a.name < b.name; });
  return models;
}

std::vector<std::string> KnownModelNames(const std::string& store_folder) {
  std::vector<std::string> names;
  for (const StoredModel& model : ListStore(store_folder)) names.push_back(model.name);
  for (const char* name : {kDefaultModelName, kDefaultEncoderName}) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
  }
  return names;
}

Result<std::string> ResolveModel(const std::string& model, const std::string& store_folder) {
  for (const StoredModel& stored : ListStore(store_folder)) {
    if (stored.name == model || fs::path(stored.path).filename() == model) return stored.path;
  }
  if (Exists(model)) return model;
  if (model == kDefaultModelName || model == kDefaultEncoderName) {
    return NotFound(fmt::format("{}: the default model is not in {} yet; run: pelton pull {}",
                                model, store_folder, model));
  }
  std::string message =
      fmt::format("model \"{}\": found no such file, folder or name in {}", model, store_folder);
  if (const std::string nearest = Nearest(model, KnownModelNames(store_folder)); !nearest.empty()) {
    message += fmt::format("; did you mean \"{}\"?", nearest);
  }
  return NotFound(std::move(message));
}

std::string UserCacheFolder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");  // NOLINT(concurrency-mt-unsafe)
  if (cache != nullptr && cache[0] == '/') return std::string(cache) + "/pelton";
  const char* home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe)
  return std::string(home != nullptr ? home : ".") + "/.cache/pelton";
}

std::string DefaultModelsFolder() { return UserCacheFolder() + "/models"; }

bool IsStoreName(std::string_view name) {
  return !name.empty() && name.size() <= 200 && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

namespace {

Result<StoredModel> FindInStore(const std::string& folder, const std::string& name) {
  for (StoredModel& stored : ListStore(folder)) {
    if (stored.name == name) return std::move(stored);
  }
  return NotFound(fmt::format("model \"{}\": is not in the store", name));
}

// The files of a stored model: itself, or all parts of a split one ("NAME-00001-of-00003.gguf").
std::vector<fs::path> FilesOf(const StoredModel& stored) {
  const fs::path path = stored.path;
  const std::string stem = path.stem().string();
  constexpr size_t kSuffix = std::string_view("-00001-of-00003").size();
  const std::string of = stem.size() > kSuffix ? stem.substr(stem.size() - 9) : "";
  if (!of.starts_with("-of-")) return {path};
  const std::string begin = stem.substr(0, stem.size() - kSuffix + 1);
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path.parent_path(), error)) {
    const std::string other = entry.path().stem().string();
    if (entry.path().extension() == ".gguf" && other.size() == stem.size() &&
        other.starts_with(begin) && other.ends_with(of)) {
      files.push_back(entry.path());
    }
  }
  return files;
}

Status LinkFolder(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_directory(to, error);
  for (const auto& entry : fs::directory_iterator(from, error)) {
    if (error) break;
    std::error_code skipped;
    if (entry.is_regular_file(skipped)) {
      fs::create_hard_link(entry.path(), to / entry.path().filename(), error);
    }
    if (error) break;
  }
  if (!error) return OkStatus();
  std::error_code ignored;
  fs::remove_all(to, ignored);
  return InvalidArgument(fmt::format("{}: cannot be made: {}", to.string(), error.message()));
}

}  // namespace

Result<StoredModel> CopyInStore(const std::string& folder, const std::string& from,
                                const std::string& to) {
  ASSIGN_OR_RETURN(const StoredModel stored, FindInStore(folder, from));
  if (!IsStoreName(to) || to.ends_with(".gguf")) {
    return InvalidArgument(
        fmt::format("destination: found \"{}\", expected a name of letters, digits and \"._-\"",
                    to.substr(0, 100)));
  }
  if (FindInStore(folder, to).ok()) {
    return InvalidArgument(fmt::format("destination: \"{}\" is in the store already", to));
  }
  const fs::path path = stored.path;
  std::error_code error;
  if (fs::is_directory(path, error)) {
    RETURN_IF_ERROR(LinkFolder(path, fs::path(folder) / to));
    return FindInStore(folder, to);
  }
  if (FilesOf(stored).size() > 1) {
    return Unimplemented(
        fmt::format("source: \"{}\" is split into parts, which are not copied", from));
  }
  fs::create_hard_link(path, fs::path(folder) / (to + ".gguf"), error);
  if (error) return InvalidArgument(fmt::format("{}: cannot be made: {}", to, error.message()));
  return FindInStore(folder, to);
}

Status RemoveFromStore(const std::string& folder, const std::string& name) {
  ASSIGN_OR_RETURN(const StoredModel stored, FindInStore(folder, name));
  std::error_code error;
  const fs::file_status status = fs::symlink_status(stored.path, error);
  if (fs::is_directory(status)) {
    fs::remove_all(stored.path, error);  // follows no links
  } else {
    for (const fs::path& file : FilesOf(stored)) {
      if (!error) fs::remove(file, error);  // of a link the link itself
    }
  }
  if (error)
    return InvalidArgument(fmt::format("{}: cannot be removed: {}", name, error.message()));
  return OkStatus();
}

}  // namespace pelton
