"""The ids of the catalogue. Written by tools/write_ids.py from the law files; `make stubs` does it again."""

from .law import Law
from .laws import Laws

class Catalogue(Laws):
    """The package's own laws; every id is an attribute."""

    @property
    def accuracy_on_the_curve(self) -> Law:
        """Accuracy on one population from another."""

    @property
    def adamw_timescale(self) -> Law:
        """Best AdamW time scale from tokens per parameter."""

    @property
    def adoption_curve(self) -> Law:
        """Adoption of an open model over time."""

    @property
    def adversarial_activation_attack(self) -> Law:
        """Length of output controlled by an attack on activations."""

    @property
    def average_parameter_count(self) -> Law:
        """Average parameter count of sparse pre-training."""

    @property
    def batch_data(self) -> Law:
        """Data to a target loss from batch size."""

    @property
    def batch_steps(self) -> Law:
        """Steps to a target loss from batch size."""

    @property
    def broken_power_law(self) -> Law:
        """Broken power law: smooth changes of slope."""

    @property
    def chinchilla(self) -> Law:
        """Chinchilla parametric loss (approach 3)."""

    @property
    def cmr(self) -> Law:
        """Critical mixture ratio of continual pre-training."""

    @property
    def compressed_representations(self) -> Law:
        """Compressed representations: capacity from the error on Gaussian data."""

    @property
    def compute_only(self) -> Law:
        """Straight line in the logarithm of compute."""

    @property
    def coverage(self) -> Law:
        """Coverage under repeated sampling."""

    @property
    def cpt_annealing(self) -> Law:
        """Loss curve through pre-training and continual pre-training."""

    @property
    def critical_batch_loss(self) -> Law:
        """Critical batch size from loss."""

    @property
    def d_cpt(self) -> Law:
        """Domain-specific continual pre-training."""

    @property
    def data_constrained(self) -> Law:
        """Data-constrained law for repeated data."""

    @property
    def data_mixture_additive(self) -> Law:
        """Data mixture with one additive term."""

    @property
    def data_mixture_joint(self) -> Law:
        """Data mixture that also changes the size and data terms."""

    @property
    def densing_growth(self) -> Law:
        """Densing law: growth of capability density."""

    @property
    def densing_loss(self) -> Law:
        """Densing law, first step: loss on answers."""

    @property
    def densing_performance(self) -> Law:
        """Densing law, second step: score from loss."""

    @property
    def deposition_critical(self) -> Law:
        """Deposition just above a critical Stokes number."""

    @property
    def diloco(self) -> Law:
        """DiLoCo loss from model size and number of replicas."""

    @property
    def diloco_additive(self) -> Law:
        """DiLoCo loss as a size term plus a replica term."""

    @property
    def distillation(self) -> Law:
        """Distillation: student loss from teacher loss."""

    @property
    def distillation_supervised(self) -> Law:
        """Supervised loss with an outer exponent."""

    @property
    def downstream_error(self) -> Law:
        """Downstream error from validation loss."""

    @property
    def downstream_error_exp(self) -> Law:
        """Another id of downstream_error. Downstream error from validation loss."""

    @property
    def exponential_law(self) -> Law:
        """Exponential approach to a limit."""

    @property
    def farseer(self) -> Law:
        """Farseer loss surface."""

    @property
    def fp_quantization(self) -> Law:
        """Training in low-precision floating point."""

    @property
    def gemstones_width_depth(self) -> Law:
        """Gemstones width and depth law."""

    @property
    def inference_efficient(self) -> Law:
        """Inference-efficient law with the aspect ratio."""

    @property
    def joint_moe(self) -> Law:
        """Joint law of mixtures of experts in active size, tokens and experts."""

    @property
    def kaplan_chinchilla_reconcile(self) -> Law:
        """Optimal compute for a non-embedding size, implied by Chinchilla."""

    @property
    def kaplan_nd(self) -> Law:
        """Kaplan joint law in parameters and data."""

    @property
    def kaplan_nd_floor(self) -> Law:
        """Kaplan joint law with an irreducible loss."""

    @property
    def kaplan_ns(self) -> Law:
        """Kaplan learning curve in parameters and steps."""

    @property
    def kinetics_cost(self) -> Law:
        """Kinetics cost of test-time scaling."""

    @property
    def log_law(self) -> Law:
        """Logarithmic law."""

    @property
    def log_quadratic(self) -> Law:
        """Parabola in the logarithm of scale."""

    @property
    def loss_to_loss(self) -> Law:
        """One loss from another: shifted power law."""

    @property
    def lr_annealing(self) -> Law:
        """Loss curve from learning-rate areas (annealing law)."""

    @property
    def lr_annealing_n(self) -> Law:
        """Loss curves of several model sizes from learning-rate areas."""

    @property
    def mixed_modal(self) -> Law:
        """Mixed modalities: synergy and competition."""

    @property
    def mixing_exponential(self) -> Law:
        """Data mixing law, exponential in the proportions."""

    @property
    def model_collapse_regression(self) -> Law:
        """Model collapse in linear regression."""

    @property
    def moe_leverage(self) -> Law:
        """Efficiency leverage of a mixture-of-experts architecture."""

    @property
    def moe_sparsity_active(self) -> Law:
        """Loss against sparsity ratio and active parameters."""

    @property
    def moe_upcycling(self) -> Law:
        """Upcycling a dense checkpoint into a mixture of experts."""

    @property
    def multi_power_law(self) -> Law:
        """Multi-power law of a schedule with several drops."""

    @property
    def multi_power_two_stage(self) -> Law:
        """Multi-power law of a schedule with one drop."""

    @property
    def multilingual_nmt(self) -> Law:
        """Multilingual translation: one factor per sampling weight."""

    @property
    def multilingual_nmt_fraction(self) -> Law:
        """Multilingual translation: smooth share of the parameters."""

    @property
    def nmt(self) -> Law:
        """Encoder and decoder sizes in translation."""

    @property
    def noise_scale_lr(self) -> Law:
        """Best learning rate from batch size, SGD."""

    @property
    def observational_sigmoid(self) -> Law:
        """Observational law: score from principal components."""

    @property
    def overtraining(self) -> Law:
        """Over-training law in compute and token multiplier."""

    @property
    def parscale(self) -> Law:
        """Parallel scaling: streams through one set of weights."""

    @property
    def pass_until_circuits(self) -> Law:
        """Pass rate of a task with several circuits."""

    @property
    def pass_until_law(self) -> Law:
        """Pass rate against model size."""

    @property
    def pass_until_multistep(self) -> Law:
        """Pass rate of a task with several steps."""

    @property
    def piecewise_power_law(self) -> Law:
        """Piecewise power law: curved, then straight."""

    @property
    def power_law(self) -> Law:
        """Pure power law in one variable."""

    @property
    def power_law_floor(self) -> Law:
        """Power law with an irreducible floor."""

    @property
    def power_law_floor_x0(self) -> Law:
        """Power law with a floor, written with a scale constant."""

    @property
    def power_product(self) -> Law:
        """Product of powers."""

    @property
    def power_product_offset(self) -> Law:
        """Product of powers above a floor."""

    @property
    def precision(self) -> Law:
        """Training in low precision as a loss of parameters."""

    @property
    def precision_ptq(self) -> Law:
        """Loss added by quantisation after training."""

    @property
    def rectified(self) -> Law:
        """Rectified law of fine-tuning."""

    @property
    def resampling_accuracy(self) -> Law:
        """Accuracy of resampling with an imperfect verifier."""

    @property
    def reward_overoptimization_bon(self) -> Law:
        """Gold reward under best-of-n against a proxy."""

    @property
    def reward_overoptimization_bon_n(self) -> Law:
        """Gold reward of best-of-n against n."""

    @property
    def reward_overoptimization_rl(self) -> Law:
        """Gold reward under reinforcement learning or direct alignment."""

    @property
    def routed(self) -> Law:
        """Routed language models: experts and dense size."""

    @property
    def science_power_laws(self) -> Law:
        """Bent power law of a gravitational-wave background."""

    @property
    def shifted_power_law(self) -> Law:
        """Shifted power law with a floor."""

    @property
    def sloth_single(self) -> Law:
        """Family-aware sigmoid law of one benchmark."""

    @property
    def sparse_foundation(self) -> Law:
        """Weight sparsity in foundation models."""

    @property
    def sparsing_relu(self) -> Law:
        """Activated neurons of ReLU models from training data."""

    @property
    def sparsing_silu(self) -> Law:
        """Activated neurons of SiLU models from training data."""

    @property
    def speculative_decoding(self) -> Law:
        """Draft acceptance in speculative decoding."""

    @property
    def surge(self) -> Law:
        """Best Adam learning rate from batch size (surge)."""

    @property
    def tale_of_tails(self) -> Law:
        """Cut tails: error plateau from synthetic data."""

    @property
    def task_accuracy_ladder(self) -> Law:
        """Task accuracy from task loss (ladder, step 2)."""

    @property
    def task_accuracy_log_sigmoid(self) -> Law:
        """Task accuracy from task cross-entropy, log-sigmoid link."""

    @property
    def task_ladder_single_step(self) -> Law:
        """Task accuracy from model and data size in one step."""

    @property
    def task_loss_ladder(self) -> Law:
        """Task loss from model and data size (ladder, step 1)."""

    @property
    def time_law(self) -> Law:
        """Loss within a wall-clock budget."""

    @property
    def transfer_bleu(self) -> Law:
        """Translation score against pre-training data."""

    @property
    def two_segment_power_law(self) -> Law:
        """Power law with one sharp break."""

    @property
    def value_rl(self) -> Law:
        """Data to a return level from updates per step, value-based RL."""

    @property
    def vocabulary(self) -> Law:
        """Loss with the vocabulary as a size of its own."""

    @property
    def vocabulary_tokens(self) -> Law:
        """Tokens per character from the vocabulary size."""

    @property
    def weight_decay_opt(self) -> Law:
        """Best AdamW weight decay."""
