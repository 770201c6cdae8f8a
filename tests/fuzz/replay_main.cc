// Runs a fuzz target over the files of the folders that are named: the corpus as a plain test,
// also where there is no libFuzzer.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

// A copy of exactly the size, so that a sanitizer sees a read past the end; empty inputs too.
void run_one(const std::string& text) {
  const std::vector<std::uint8_t> bytes(text.begin(), text.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

// How many inputs the folder had; -1 when it cannot be read.
int run_folder(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.is_regular_file()) {
      files.push_back(entry.path().string());
    }
  }
  if (error) {
    std::fprintf(stderr, "%s: %s\n", folder.c_str(), error.message().c_str());
    return -1;
  }
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) {
    const auto text = feedvault::read_file(file);
    if (!text.has_value()) {
      std::fprintf(stderr, "%s\n", text.error().message().c_str());
      return -1;
    }
    std::printf("%s\n", file.c_str());
    std::fflush(stdout);  // the last line names the input that crashed
    run_one(*text);
  }
  return static_cast<int>(files.size());
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FOLDER...\n", argv[0]);
    return 2;
  }
  run_one("");
  for (int i = 1; i < argc; ++i) {
    const int count = run_folder(argv[i]);
    if (count <= 0) {
      std::fprintf(stderr, "%s: no inputs to replay\n", argv[i]);
      return 1;
    }
  }
  return 0;
} catch (const std::exception& problem) {
  std::fprintf(stderr, "%s\n", problem.what());
  return 1;
}
