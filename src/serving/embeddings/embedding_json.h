#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "runtime/embed/embedding_engine.h"

namespace pelton {

// "[0.1,-2]": the shortest decimals that read back as the same f32; null for what is not finite.
std::string NumbersToJson(std::span<const float> numbers);

// RFC 4648 base64 of the numbers as little-endian f32.
std::string NumbersToBase64(std::span<const float> numbers);

// OpenAI's answer.
std::string OpenAiEmbeddingsJson(const EmbeddingResult& result, std::string_view model,
                                 bool base64);

// Ollama's answers: "embeddings" of several texts, or, for the older form, one "embedding".
std::string OllamaEmbeddingsJson(const EmbeddingResult& result, std::string_view model, bool one);

}  // namespace pelton
