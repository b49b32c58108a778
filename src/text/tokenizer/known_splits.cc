#include "text/tokenizer/known_splits.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/check.h"
#include "text/tokenizer/unicode.h"

namespace pelton::tokenizer {

namespace {

// Sources: the pre_tokenizer of each family's tokenizer.json.
constexpr const char* kGpt2[] = {
    R"re('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)re"};
constexpr const char* kLlama3[] = {
    (R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[)re"
     R"re(\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re")};
constexpr const char* kQwen2[] = {
    (R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n])re"
     R"re(*|\s*[\r\n]+|\s+(?!\S)|\s+)re")};
constexpr const char* kQwen35[] = {
    (R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M})re"
     R"re(\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re")};
constexpr const char* kGpt4o[] = {
    (R"re([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|')re"
     R"re(t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm)re"
     R"re(}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s)re"
     R"re(*[\r\n]+|\s+(?!\S)|\s+)re")};
constexpr const char* kTekken[] = {
    (R"re([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n)re"
     R"re(\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s)re"
     R"re(\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)re")};
constexpr const char* kDeepSeek3[] = {
    R"re(\p{N}{1,3})re", R"re([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)re",
    (R"re([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)re"
     R"re(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re")};
constexpr const char* kDeepSeekLlm[] = {
    R"re([\r\n])re",
    (R"re(\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-)re"
     R"re(\x{293}\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386})re"
     R"re(\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x)re"
     R"re({531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA})re"
     R"re(\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-)re"
     R"re(\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59})re"
     R"re(\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-)re"
     R"re(\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2})re"
     R"re(-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D})re"
     R"re(\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F})re"
     R"re(\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-)re"
     R"re(\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-)re"
     R"re(\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21})re"
     R"re(-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB})re"
     R"re(\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)re"),
    R"re(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)re",
    R"re(\s+$)re", R"re([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)re"};
constexpr const char* kDeepSeekCoder[] = {
    R"re([\r\n])re", R"re(\s?\p{L}+)re", R"re(\s?\p{P}+)re",
    R"re([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)re"};

// Source: MoonshotAI's tokenization_kimi.py, "pat_str".
constexpr const char* kKimi2[] = {
    (R"re([\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)re"
     R"re([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?)re"
     R"re([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)re"
     R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+)re"
     R"re(|\s+(?!\S)|\s+)re")};
// llama.cpp's, for files that name no family.
constexpr const char* kDefault[] = {
    R"re([\p{P}$+<=>^~|]+)re",
    R"re('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))re",
    R"re(\p{N}+)re", R"re([0-9][0-9][0-9])re"};
constexpr const char* kFalcon[] = {
    R"re([\p{P}$+<=>^~|`]+)re",
    R"re('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))re",
    R"re([0-9][0-9][0-9])re"};
constexpr const char* kBloom[] = {
    R"re( ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+)re"};
constexpr const char* kBailing[] = {
    (R"re('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*)re"
     R"re(|\s*[\r\n]|\s+(?!\S)|\s+)re")};
constexpr const char* kSeedCoder[] = {
    (R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+)re"
     R"re(|\s*[\r\n]+|\s+(?!\S)|\s+)re")};
constexpr const char* kMiniCpm5[] = {
    R"re(\p{N}{1,3})re",
    (R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+)re"
     R"re([\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re")};
constexpr const char* kSuperBpe[] = {R"re(\p{N}+)re", R"re((?=(\d{3})+(?!\d)))re"};

enum class Digits { kNo, kFirst, kLast };  // whether and when single digits are split off

struct Family {
  std::string_view names;  // between spaces
  std::span<const char* const> splits;
  Digits digits = Digits::kNo;
  bool nfc = false;
  bool ignore_merges = false;
  bool adds_bos = false;
};

// Names: llama.cpp, src/llama-vocab.cpp.
const Family kFamilies[] = {
    {.names = " default ", .splits = kDefault},
    {.names = " gpt-2 phi-2 olmo mpt jais trillion granite-docling jina-es jina-de jina-v1-en "
              "jina-v2-es jina-v2-de jina-v2-code roberta-bpe gigachat a.x-4.0 mellum modern-bert "
              "exaone4 ",
     .splits = kGpt2},
    {.names = " smollm starcoder refact command-r codeshell exaone minerva-7b mellum2 ",
     .splits = kGpt2,
     .digits = Digits::kFirst},
    {.names = " llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ",
     .splits = kLlama3,
     .ignore_merges = true,
     .adds_bos = true},
    {.names = " dbrx smaug-bpe glm4 chatglm-bpe ", .splits = kLlama3},
    {.names = " qwen2 deepseek-r1-qwen kormo f2llmv2 megrez ", .splits = kQwen2, .nfc = true},
    {.names = " stablelm2 hunyuan solar-open grok-2 ", .splits = kQwen2},
    {.names = " qwen35 ", .splits = kQwen35, .nfc = true},
    {.names = " gpt-4o kanana2 talkie minimax-m2 ", .splits = kGpt4o, .ignore_merges = true},
    {.names = " llama4 ", .splits = kGpt4o, .ignore_merges = true, .adds_bos = true},
    {.names = " tekken ", .splits = kTekken, .ignore_merges = true, .adds_bos = true},
    {.names = " deepseek-v3 hunyuan-dense joyai-llm hy_v4 ", .splits = kDeepSeek3},
    {.names = " deepseek-llm ", .splits = kDeepSeekLlm, .digits = Digits::kLast},
    {.names = " deepseek-coder ", .splits = kDeepSeekCoder, .digits = Digits::kLast},
    {.names = " kimi-k2 ", .splits = kKimi2},
    {.names = " falcon ", .splits = kFalcon},
    {.names = " bloom poro-chat gpt3-finnish ", .splits = kBloom},
    {.names = " viking ", .splits = kBloom, .digits = Digits::kLast},
    {.names = " bailingmoe bailingmoe2 llada-moe ", .splits = kBailing},
    {.names = " seed-coder ", .splits = kSeedCoder},
    {.names = " minicpm5 ", .splits = kMiniCpm5, .ignore_merges = true},
    {.names = " superbpe ", .splits = kSuperBpe},
};

}  // namespace

std::string_view Gpt2Pattern() { return kGpt2[0]; }

Result<std::unique_ptr<PreTokenStep>> MakePatternSplit(std::string_view pattern,
                                                       SplitBehavior behavior, bool invert) {
  if (pattern == R"(\s+$)" && behavior == SplitBehavior::kIsolated && !invert) {
    return MakeFinalSpaceSplit();
  }
  ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern));
  return MakeRegexSplit(std::move(regex), behavior, invert);
}

Result<KnownSplit> MakeKnownSplit(std::string_view name) {
  const std::string key = " " + std::string(name) + " ";
  for (const Family& family : kFamilies) {
    if (name.find(' ') != std::string_view::npos || family.names.find(key) == family.names.npos) {
      continue;
    }
    KnownSplit known;
    known.nfc = family.nfc;
    known.ignore_merges = family.ignore_merges;
    known.adds_bos = family.adds_bos;
    if (family.digits == Digits::kFirst) {
      known.pre_tokenizer.Add(MakeClassSplit(kNumber, SplitBehavior::kIsolated));
    }
    for (const char* const split : family.splits) {
      ASSIGN_OR_RETURN(std::unique_ptr<PreTokenStep> step,
                       MakePatternSplit(split, SplitBehavior::kIsolated, false));
      known.pre_tokenizer.Add(std::move(step));
    }
    if (family.digits == Digits::kLast) {
      known.pre_tokenizer.Add(MakeClassSplit(kNumber, SplitBehavior::kIsolated));
    }
    return known;
  }
  return Unimplemented("the pre-tokenizer \"" + std::string(name.substr(0, 64)) +
                       "\" is not known");
}

}  // namespace pelton::tokenizer
