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

std::string DefaultModelsFolder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");  // NOLINT(concurrency-mt-unsafe)
  if (cache != nullptr && cache[0] == '/') return std::string(cache) + "/pelton/models";
  const char* home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe)
  return std::string(home != nullptr ? home : ".") + "/.cache/pelton/models";
}

}  // namespace pelton
