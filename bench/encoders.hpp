#pragma once

namespace vicinal::bench {

/// Registers "encode/<codec>/<metric>/<dim>" and "rotate/<dim>": bytes a second are those of the vectors given, f32.
void register_encoders();

}  // namespace vicinal::bench
