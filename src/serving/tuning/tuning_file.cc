#include "serving/tuning/tuning_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "base/cpu_features.h"
#include "base/file_write.h"
#include "serving/model/model_store.h"
#include "serving/request/field_reader.h"

namespace pelton {
namespace {

constexpr int kTuningVersion = 1;
constexpr size_t kMaxTuningBytes = 1 << 20;
constexpr size_t kMaxChoices = 4096;
constexpr size_t kMaxNameBytes = 256;
// Far beyond any step.
constexpr size_t kMaxChoiceRows = 1 << 20;

constexpr std::string_view kGenerated = "generated";
constexpr std::string_view kAny = "any";

void ReadName(FieldReader& reader, const char* name, std::string* out) {
  reader.String(name, out);
  if (out->empty() || out->size() > kMaxNameBytes) reader.Fail(name, "1 to 256 bytes");
}

Result<MatmulChoice> ReadChoice(const Json& object) {
  if (!object.is_object()) return InvalidArgument("found no object, expected one for each choice");
  MatmulChoice choice;
  FieldReader reader(object);
  std::string weights, rows;
  ReadName(reader, "weights", &weights);
  const std::optional<DType> dtype = ParseDType(weights);
  if (!dtype.has_value()) reader.Fail("weights", "the name of a format such as Q8_0");
  choice.weights = dtype.value_or(DType::kQ8_0);
  ReadName(reader, "rows", &rows);
  if (rows != kGenerated && rows != kAny) reader.Fail("rows", "\"generated\" or \"any\"");
  choice.rows = rows == kAny ? MatmulRows::kAny : MatmulRows::kGenerated;
  choice.min_rows = 0;
  reader.Whole("from", &choice.min_rows);
  if (choice.min_rows == 0 || choice.min_rows > kMaxChoiceRows) {
    reader.Fail("from", "1 to 1048576 rows");
  }
  ReadName(reader, "kernel", &choice.impl);
  reader.RefuseUnknown();
  if (!reader.ok()) return reader.status();
  return choice;
}

}  // namespace

Tuning TuningOfThisMachine(std::vector<MatmulChoice> matmul) {
  return {.processor = CpuModelName(),
          .features = CpuFeatureNames(CpuFeatures()),
          .matmul = std::move(matmul)};
}

std::string TuningText(const Tuning& tuning) {
  Json list = Json::array();
  for (const MatmulChoice& choice : tuning.matmul) {
    list.push_back({{"weights", DTypeName(choice.weights)},
                    {"rows", choice.rows == MatmulRows::kAny ? kAny : kGenerated},
                    {"from", choice.min_rows},
                    {"kernel", choice.impl}});
  }
  return ToText(Json{{"version", kTuningVersion},
                     {"processor", tuning.processor},
                     {"features", tuning.features},
                     {"matmul", std::move(list)}}) +
         "\n";
}

Result<Tuning> ParseTuning(std::string_view text) {
  if (text.size() > kMaxTuningBytes) return InvalidArgument("found more than 1 MiB");
  ASSIGN_OR_RETURN(const Json json, ParseObject(text));
  Tuning tuning;
  FieldReader reader(json);
  int64_t version = 0;
  reader.Whole("version", &version);
  if (version != kTuningVersion) reader.Fail("version", "1; run pelton tune again");
  ReadName(reader, "processor", &tuning.processor);
  ReadName(reader, "features", &tuning.features);
  const Json* list = reader.Find("matmul");
  if (list == nullptr || !list->is_array() || list->size() > kMaxChoices) {
    reader.Fail("matmul", "a list of at most 4096 choices");
  }
  reader.RefuseUnknown();
  if (!reader.ok()) return reader.status();
  for (const Json& object : *list) {
    Result<MatmulChoice> choice = ReadChoice(object);
    if (!choice.ok()) {
      return choice.status().WithContext(fmt::format("matmul[{}]", tuning.matmul.size()));
    }
    tuning.matmul.push_back(std::move(choice).value());
  }
  return tuning;
}

Result<Tuning> ReadTuning(const std::string& path) {
  std::error_code error;
  const auto type = std::filesystem::status(path, error).type();
  if (type == std::filesystem::file_type::not_found) {
    return NotFound(path + ": there is no such file");
  }
  if (type != std::filesystem::file_type::regular) {
    return InvalidArgument(path + ": is not a regular file");
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxTuningBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || !file.eof()) {
    return InvalidArgument(path + ": cannot be read, or is larger than 1 MiB");
  }
  text.resize(static_cast<size_t>(file.gcount()));
  Result<Tuning> tuning = ParseTuning(text);
  if (!tuning.ok()) return tuning.status().WithContext(path);
  return tuning;
}

Status WriteTuning(const std::string& path, const Tuning& tuning) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  const std::string draft = path + ".new";
  ASSIGN_OR_RETURN(const int fd, CreateLocked(draft));
  Status status = WriteAll(fd, TuningText(tuning), draft);
  if (status.ok() && ::fsync(fd) != 0) status = FileError(draft, "written");
  if (status.ok() && ::rename(draft.c_str(), path.c_str()) != 0) {
    status = FileError(path, "replaced");
  }
  if (!status.ok()) ::unlink(draft.c_str());
  ::close(fd);
  return status;
}

Status ApplyTuning(const std::string& path) {
  ASSIGN_OR_RETURN(const Tuning tuning, ReadTuning(path));
  const Tuning here = TuningOfThisMachine({});
  if (tuning.processor != here.processor || tuning.features != here.features) {
    return InvalidArgument(
        fmt::format("{}: found choices for {} with {}, expected {} with {}; "
                    "run pelton tune here",
                    path, tuning.processor, tuning.features, here.processor, here.features));
  }
  return SetMatmulChoices(tuning.matmul).WithContext(path);
}

std::string DefaultTuningFile() { return UserCacheFolder() + "/tuning.json"; }

}  // namespace pelton
