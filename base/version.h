#pragma once

namespace feedvault {

/// The project's version, from CMakeLists.txt.
inline constexpr const char* kVersion = FEEDVAULT_VERSION;

}  // namespace feedvault
