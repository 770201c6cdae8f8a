#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace google::protobuf {
class Descriptor;
class DescriptorPool;
}  // namespace google::protobuf

namespace feedvault {

/// One .proto file with all that it imports, read from disk. Owns the descriptors it hands out.
/// Immutable; any thread.
class ProtoFile {
 public:
  /// Imports are looked for in the file's folder; google/protobuf/*.proto need not be there.
  /// kInvalidArgument with "file:line:column: what protobuf says".
  static Result<std::unique_ptr<ProtoFile>> read(const std::string& path);
  ~ProtoFile();
  ProtoFile(const ProtoFile&) = delete;
  ProtoFile& operator=(const ProtoFile&) = delete;

  /// kInvalidArgument with the types that the file has.
  Result<const google::protobuf::Descriptor*> find_message(const std::string& type) const;
  const google::protobuf::DescriptorPool& pool() const;

 private:
  struct Parts;
  explicit ProtoFile(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace feedvault
