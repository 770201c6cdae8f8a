#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "broker/limits.h"
#include "broker/transport.h"

namespace feedvault::broker {

/// A piece of output memory; the bytes follow it.
struct Chunk {
  Chunk* next;
  std::uint32_t capacity;
  std::uint32_t begin;
  std::uint32_t end;
  char* bytes() { return reinterpret_cast<char*>(this + 1); }
};

/// Chunks of three sizes, recycled by the connections of one loop. Keeps at most kPooledBytesMax of
/// each size; the rest goes back to the system. Loop thread only.
class ChunkPool {
 public:
  ChunkPool() = default;
  ~ChunkPool();
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;

  /// A chunk for about `bytes`: the smallest that holds them, or the largest there is.
  Chunk* take(std::size_t bytes);
  void give_back(Chunk* chunk);
  /// Bytes returned to malloc since forget_freed(); it may keep them from the system.
  std::size_t freed_bytes() const { return freed_bytes_; }
  void forget_freed() { freed_bytes_ = 0; }

 private:
  struct Shelf {
    std::size_t chunk_bytes;
    Chunk* free = nullptr;
    std::size_t free_bytes = 0;
  };
  std::array<Shelf, 3> shelves_{{{kSmallChunkBytes}, {kMediumChunkBytes}, {kLargeChunkBytes}}};
  std::size_t freed_bytes_ = 0;
};

/// What waits to be written to one connection: a chain of chunks, topped up before the next one is
/// taken, written with as few system calls as the kernel allows. Holds no memory when empty. Its
/// bound (max_pending) is its connection's affair. Loop thread only.
class OutputQueue {
 public:
  explicit OutputQueue(ChunkPool& pool) : pool_(&pool) {}
  ~OutputQueue() { clear(); }
  OutputQueue(const OutputQueue&) = delete;
  OutputQueue& operator=(const OutputQueue&) = delete;

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  /// `size` bytes to be filled in by the caller at once, or null where the last chunk has no room:
  /// then append().
  char* claim(std::size_t size) {
    if (last_ == nullptr || last_->capacity - last_->end < size) {
      return nullptr;
    }
    char* const at = last_->bytes() + last_->end;
    last_->end += static_cast<std::uint32_t>(size);
    size_ += size;
    return at;
  }
  void append(std::string_view text);

  /// Writes until all is gone (kDone), the socket is full (kWouldBlock) or broken (kFailed).
  /// `bytes` is what was written in any case.
  IoResult flush(Transport& transport);
  void clear();

 private:
  void drop_written(std::size_t bytes);

  ChunkPool* pool_;
  Chunk* first_ = nullptr;
  Chunk* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace feedvault::broker
