#pragma once

#include "vicinal/index/spec.hpp"
#include "vicinal/index/spec_tokens.hpp"

/// Not installed.
namespace vicinal {

/// The stage tiers(<codec>=<share>, ..., <codec>). Throws SpecError.
void parse_tiers(Arguments& arguments, Spec& spec);

}  // namespace vicinal
