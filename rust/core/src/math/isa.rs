//! The instruction sets that have their own copy of every kernel, and the choice between them at run time.

use std::sync::OnceLock;

/// Environment variable that overrides [`Isa::detect`]: `portable`, `avx2` or `avx512`.
pub const ISA_VARIABLE: &str = "SCALINGLAWS_ISA";

/// An instruction set for which kernels are compiled.
///
/// The variants are ordered: a processor that has one has all smaller ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// What the compilation target guarantees: SSE2 on x86-64, NEON on aarch64.
    Portable,
    /// AVX2 with fused multiply-add: four doubles.
    Avx2,
    /// AVX-512 F, DQ, VL and BW: eight doubles.
    Avx512,
}

/// Whether [`f64::mul_add`] is one instruction under [`Isa::Portable`], and not a call into the C library.
pub const PORTABLE_FMA: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

impl Isa {
    /// The instruction set to use in this process: the one asked for by `SCALINGLAWS_ISA`, otherwise the best one.
    ///
    /// A request that cannot be met is ignored here; [`Isa::from_env`] reports it. The answer is computed once.
    pub fn detect() -> Self {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        *DETECTED.get_or_init(|| Self::from_env().unwrap_or_else(|_| Self::best()))
    }

    /// The instruction set asked for by the environment variable `SCALINGLAWS_ISA`, or the best one if it is not set.
    ///
    /// # Errors
    /// A message fit for users when the variable holds no known name or this processor lacks what it names.
    pub fn from_env() -> Result<Self, String> {
        match std::env::var(ISA_VARIABLE) {
            Ok(name) => Self::from_request(&name),
            Err(std::env::VarError::NotPresent) => Ok(Self::best()),
            Err(error) => Err(format!("{ISA_VARIABLE}: {error}")),
        }
    }

    /// The instruction set called `name`, if this processor has it. An empty name asks for the best one.
    ///
    /// # Errors
    /// A message that lists the possible names.
    pub fn from_request(name: &str) -> Result<Self, String> {
        let wanted = name.trim().to_ascii_lowercase();
        if wanted.is_empty() {
            return Ok(Self::best());
        }
        let available = Self::available();
        if let Some(isa) = available.iter().find(|isa| isa.name() == wanted) {
            return Ok(*isa);
        }
        let choices: Vec<&str> = available.iter().map(|isa| isa.name()).collect();
        let known = [Self::Portable, Self::Avx2, Self::Avx512].iter().any(|isa| isa.name() == wanted);
        let reason = if known { "is not supported by this processor" } else { "is not a known instruction set" };
        Err(format!("{ISA_VARIABLE}={name} {reason}; available: {}", choices.join(", ")))
    }

    /// The name accepted by [`Isa::from_request`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The instruction sets this processor and operating system support, smallest first.
    pub fn available() -> Vec<Self> {
        [Self::Portable, Self::Avx2, Self::Avx512].into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// Whether kernels compiled for this instruction set can run here.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Avx2 => has_avx2(),
            Self::Avx512 => has_avx512(),
        }
    }

    fn best() -> Self {
        if has_avx512() {
            Self::Avx512
        } else if has_avx2() {
            Self::Avx2
        } else {
            Self::Portable
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx2") && has!("fma") && has!("bmi1") && has!("bmi2")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has_avx2() && has!("avx512f") && has!("avx512dq") && has!("avx512vl") && has!("avx512bw")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512() -> bool {
    false
}
