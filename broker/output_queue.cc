#include "broker/output_queue.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace feedvault::broker {

ChunkPool::~ChunkPool() {
  for (Shelf& shelf : shelves_) {
    while (shelf.free != nullptr) {
      Chunk* const chunk = shelf.free;
      shelf.free = chunk->next;
      std::free(chunk);
    }
  }
}

Chunk* ChunkPool::take(std::size_t bytes) {
  Shelf* shelf = &shelves_.back();
  for (Shelf& each : shelves_) {
    if (bytes <= each.chunk_bytes - sizeof(Chunk)) {
      shelf = &each;
      break;
    }
  }
  void* memory = shelf->free;
  if (memory != nullptr) {
    shelf->free = shelf->free->next;
    shelf->free_bytes -= shelf->chunk_bytes;
  } else {
    memory = std::malloc(shelf->chunk_bytes);
    if (memory == nullptr) {
      throw std::bad_alloc();
    }
  }
  return new (memory)
      Chunk{nullptr, static_cast<std::uint32_t>(shelf->chunk_bytes - sizeof(Chunk)), 0, 0};
}

void ChunkPool::give_back(Chunk* chunk) {
  for (Shelf& shelf : shelves_) {
    if (chunk->capacity + sizeof(Chunk) == shelf.chunk_bytes &&
        shelf.free_bytes + shelf.chunk_bytes <= kPooledBytesMax) {
      chunk->next = shelf.free;
      shelf.free = chunk;
      shelf.free_bytes += shelf.chunk_bytes;
      return;
    }
  }
  freed_bytes_ += chunk->capacity;
  std::free(chunk);
}

void OutputQueue::append(std::string_view text) {
  while (!text.empty()) {
    if (last_ == nullptr || last_->end == last_->capacity) {
      // The more is waiting already, the larger the next chunk.
      Chunk* const chunk = pool_->take(std::max(text.size(), size_));
      (last_ == nullptr ? first_ : last_->next) = chunk;
      last_ = chunk;
    }
    const std::size_t room = last_->capacity - last_->end;
    const std::size_t taken = std::min(room, text.size());
    std::memcpy(last_->bytes() + last_->end, text.data(), taken);
    last_->end += static_cast<std::uint32_t>(taken);
    size_ += taken;
    text.remove_prefix(taken);
  }
}

IoResult OutputQueue::flush(Transport& transport) {
  IoResult total;
  while (size_ > 0) {
    std::array<iovec, kIovecsMax> pieces;
    std::size_t count = 0;
    std::size_t offered = 0;
    for (Chunk* chunk = first_; chunk != nullptr && count < kIovecsMax; chunk = chunk->next) {
      pieces[count++] = {chunk->bytes() + chunk->begin, chunk->end - chunk->begin};
      offered += chunk->end - chunk->begin;
    }
    const IoResult result = transport.write(pieces.data(), count);
    total.bytes += result.bytes;
    drop_written(result.bytes);
    if (result.state != IoState::kDone) {
      total.state = result.state;
      total.error = result.error;
      return total;
    }
    if (result.bytes < offered) {  // the socket is full; asking again would only say so
      total.state = IoState::kWouldBlock;
      return total;
    }
  }
  return total;
}

void OutputQueue::drop_written(std::size_t bytes) {
  size_ -= bytes;
  while (first_ != nullptr) {
    const std::size_t here = first_->end - first_->begin;
    if (bytes < here) {
      first_->begin += static_cast<std::uint32_t>(bytes);
      return;
    }
    bytes -= here;
    Chunk* const done = first_;
    first_ = done->next;
    pool_->give_back(done);
  }
  last_ = nullptr;
}

void OutputQueue::clear() {
  while (first_ != nullptr) {
    Chunk* const chunk = first_;
    first_ = chunk->next;
    pool_->give_back(chunk);
  }
  last_ = nullptr;
  size_ = 0;
}

}  // namespace feedvault::broker
