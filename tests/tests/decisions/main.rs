//! What the policies decide: the same natively and in the sandbox, and as the vectors say.

mod goldens;
mod vectors;
