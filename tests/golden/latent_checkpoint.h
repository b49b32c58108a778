#pragma once

#include <filesystem>

namespace pelton::golden {

// Writes a small DeepSeek model with random weights to a folder: latent rows of 128 + 16 numbers,
// which KvDType::kFp8 takes, and no experts, whose choices would hide small errors. With an indexer
// a token sees 16 others.
void WriteLatentCheckpoint(const std::filesystem::path& folder, bool indexer);
inline constexpr int kLatentCheckpointVocab = 96;

}  // namespace pelton::golden
