// Loads a model with llama.cpp, answers a prompt greedily and prints each piece as soon as it is
// known: the shortest way from process start to a first token that the library allows, with no
// warm-up run, no chat template and no option parsing.
// Usage: first_token MODEL THREADS PROMPT TOKENS REPACK, where REPACK is 0 for weights as they lie
// in the file.
#include <llama.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: first_token MODEL THREADS PROMPT TOKENS REPACK\n");
    return 2;
  }
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  ggml_backend_load_all();
  llama_model_params model_params = llama_model_default_params();
  model_params.use_extra_bufts = std::atoi(argv[5]) != 0;
  llama_model* model = llama_model_load_from_file(argv[1], model_params);
  if (model == nullptr) {
    std::fprintf(stderr, "%s could not be loaded\n", argv[1]);
    return 1;
  }
  const llama_vocab* vocab = llama_model_get_vocab(model);
  std::vector<llama_token> tokens(512);
  const int count = llama_tokenize(vocab, argv[3], static_cast<int>(std::strlen(argv[3])),
                                   tokens.data(), static_cast<int>(tokens.size()), true, true);
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 2048;
  params.n_threads = params.n_threads_batch = std::atoi(argv[2]);
  llama_context* context = llama_init_from_model(model, params);
  if (count <= 0 || context == nullptr) return 1;
  llama_sampler* sampler = llama_sampler_init_greedy();

  llama_batch batch = llama_batch_get_one(tokens.data(), count);
  llama_token token = 0;
  for (int i = 0; i < std::atoi(argv[4]); ++i) {
    if (llama_decode(context, batch) != 0) return 1;
    token = llama_sampler_sample(sampler, context, -1);
    char piece[256];
    const int length = llama_token_to_piece(vocab, token, piece, sizeof piece, 0, true);
    if (length > 0) std::fwrite(piece, 1, static_cast<size_t>(length), stdout);
    std::fflush(stdout);
    batch = llama_batch_get_one(&token, 1);
  }
  llama_sampler_free(sampler);
  llama_free(context);
  llama_model_free(model);
  return 0;
}
