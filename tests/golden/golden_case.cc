#include "golden_case.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "models/build/build_graph.h"
#include "models/weights/safetensors.h"

namespace pelton::golden {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

Json ReadJson(const fs::path& path) {
  std::ifstream file(path);
  return Json::parse(file);
}

// Copies the elements of a tensor of the results.
template <typename T>
std::vector<T> Elements(const SafetensorsImage& image, const std::string& name) {
  for (const TensorInfo& tensor : image.tensors) {
    if (tensor.name != name) continue;
    std::vector<T> elements(tensor.data.size() / sizeof(T));
    std::memcpy(elements.data(), tensor.data.data(), tensor.data.size());
    return elements;
  }
  PELTON_CHECK(false, "the results hold this tensor");
  return {};
}

Case LoadCase(const fs::path& json_path, const fs::path& tensors_path, const std::string& name,
              const std::string& model_path) {
  const Json json = ReadJson(json_path);
  Result<MappedFile> file = MappedFile::Open(tensors_path.string());
  PELTON_CHECK(file.ok(), file.status().message().c_str());
  const Result<SafetensorsImage> image = ParseSafetensors(file->bytes(), tensors_path.string());
  PELTON_CHECK(image.ok(), image.status().message().c_str());
  Case result{.name = name, .model_path = model_path};
  const Json& advised = json["tolerance"]["advised_max_abs_error"];
  result.float32_tolerance = advised["float32"];
  const Json measured =
      json["tolerance"].value("/measured_against_float32/bfloat16"_json_pointer, Json::object());
  const Json advised_coarse =
      advised.contains("q8_activations") ? advised["q8_activations"] : advised["bfloat16"];
  // Null: other choices in every prompt, whose measured errors say more than no tolerance. They are
  // as large as logits here, so that equal best tokens are counted too.
  const double coarse = advised_coarse.is_null() ? 0 : advised_coarse.get<double>();
  result.logits_are_no_bound = advised_coarse.is_null();
  const auto others_of = [&](size_t prompt) {
    return measured.contains("rows_with_other_choices") &&
           measured["rows_with_other_choices"][prompt] > 0;
  };
  size_t rows = 0;
  bool others = false;
  for (size_t i = 0; i < json["prompts"].size(); ++i) {
    rows += json["prompts"][i]["logits_positions"].size();
    others = others || others_of(i);
  }
  if (others) {
    result.coarse_agreement = measured["argmax_agreement"];
    // One row more that agreed and one that did not, as 13 of 13 does not mean all.
    const auto counted = static_cast<double>(rows);
    const double share = (result.coarse_agreement * counted + 1) / (counted + 2);
    result.tile_agreement = share - std::sqrt(share * (1 - share) / (counted + 2));
  }
  for (const Json& p : json["prompts"]) {
    Prompt prompt{.name = p["name"], .coarse_tolerance = coarse};
    const size_t index = result.prompts.size();
    if (others_of(index)) {
      prompt.other_choices = true;
      prompt.coarse_tolerance =
          std::max(coarse, 2 * measured["max_abs_error"][index].get<double>());
    }
    prompt.ids = p["ids"].get<std::vector<int32_t>>();
    prompt.logits_positions = p["logits_positions"].get<std::vector<size_t>>();
    if (result.coarse_agreement > 0) {
      prompt.best_ids = Elements<int32_t>(*image, prompt.name + ".argmax");
    }
    prompt.logits = Elements<float>(*image, prompt.name + ".logits");
    prompt.greedy_ids = p["greedy_ids"].get<std::vector<int32_t>>();
    prompt.greedy_margins = p["greedy_margins"].get<std::vector<float>>();
    result.prompts.push_back(std::move(prompt));
  }
  return result;
}

}  // namespace

std::optional<std::string> FullSet() {
  const char* named = std::getenv("PELTON_GOLDEN");  // NOLINT(concurrency-mt-unsafe)
  std::string folder = named != nullptr ? named : "../shared/golden";
  if (fs::exists(folder + "/models")) return folder;
  return std::nullopt;
}

std::vector<Case> LoadCases(const std::string& folder, const std::string& name) {
  std::vector<Case> cases;
  const fs::path root(folder);
  if (fs::exists(root / "golden.json")) {
    cases.push_back(LoadCase(root / "golden.json", root / "golden.safetensors", name, folder));
  }
  for (const char* type : {"F32", "F16", "Q8_0", "Q4_0", "Q4_K", "Q6_K"}) {
    // Names of the file's model, its results and their tensors.
    const auto file = [&](std::string_view stem, std::string_view ending) {
      return root / fmt::format("{}-{}.{}", stem, type, ending);
    };
    if (!fs::exists(file("model", "gguf"))) continue;
    cases.push_back(LoadCase(file("golden", "json"), file("golden", "safetensors"),
                             fmt::format("{}/{}", name, type), file("model", "gguf").string()));
  }
  return cases;
}

Runner::Runner(const std::string& model_path, const RunnerOptions& options)
    : pool_(options.threads),
      max_step_tokens_(options.max_step_tokens),
      as_prompts_(options.as_prompts) {
  Result<ModelFiles> files = OpenModel(model_path);
  PELTON_CHECK(files.ok(), files.status().message().c_str());
  files_ = std::move(files).value();
  Result<Graph> graph = BuildGraph(files_->config, files_->weights, options.max_context);
  PELTON_CHECK(graph.ok(), graph.status().message().c_str());
  if (options.before_passes) options.before_passes(*graph);
  const auto reports = RunPasses(options.passes, *graph);
  PELTON_CHECK(reports.ok(), reports.status().message().c_str());
  Result<PackedStore> weights = PackedStore::Pack(*graph, pool_, [](const StoredTensor&) {});
  PELTON_CHECK(weights.ok(), weights.status().message().c_str());
  const bool exact = options.passes.numerics == Numerics::kExact;
  KvCacheView view = CacheGeometryOf(
      files_->config, options.kv_dtype.value_or(exact ? KvDType::kF32 : KvDType::kF16));
  view.block_tokens = block_tokens_ = 32;
  view.num_blocks = (options.max_context + block_tokens_ - 1) / block_tokens_;
  Result<Arena> cache = Arena::Allocate(view.num_blocks * view.BlockBytes(), "cache");
  PELTON_CHECK(cache.ok(), cache.status().message().c_str());
  cache_ = std::move(cache).value();
  view.data = cache_.data();
  block_table_.resize(view.num_blocks);
  std::iota(block_table_.begin(), block_table_.end(), 0);
  std::shuffle(block_table_.begin(), block_table_.end(), std::mt19937(7));
  const StepLimits limits{.max_tokens = max_step_tokens_,
                          .max_sequences = 1,
                          .max_logit_rows = max_step_tokens_,
                          .max_context = options.max_context};
  auto executor = GraphExecutor::Create(
      std::move(graph).value(), std::move(weights).value(), view, pool_,
      {.limits = limits,
       .need_invariant = options.need_invariant,
       .prompts_apart = options.as_prompts && options.passes.numerics != Numerics::kExact});
  PELTON_CHECK(executor.ok(), executor.status().message().c_str());
  executor_ = std::move(executor).value();
}

std::vector<float> Runner::Append(std::span<const int32_t> tokens, size_t chunk) {
  std::vector<float> logits;
  chunk = std::min(chunk, max_step_tokens_);
  for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
    const std::span<const int32_t> part =
        tokens.subspan(begin, std::min(chunk, tokens.size() - begin));
    std::vector<int32_t> positions, slots, rows;
    for (size_t i = 0; i < part.size(); ++i) {
      const size_t position = context_ + i;
      positions.push_back(static_cast<int32_t>(position));
      slots.push_back(block_table_[position / block_tokens_] * static_cast<int32_t>(block_tokens_) +
                      static_cast<int32_t>(position % block_tokens_));
      rows.push_back(static_cast<int32_t>(i));
    }
    context_ += part.size();
    const SequenceSpan sequence{0, static_cast<int32_t>(part.size()),
                                static_cast<int32_t>(context_), block_table_.data()};
    const std::span<float> out = executor_->Run({.tokens = part,
                                                 .positions = positions,
                                                 .slots = slots,
                                                 .sequences = std::span(&sequence, 1),
                                                 .logit_rows = rows,
                                                 .prompt_rows = as_prompts_ ? part.size() : 0});
    logits.insert(logits.end(), out.begin(), out.end());
  }
  return logits;
}

}  // namespace pelton::golden
