using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Librarian.Durable.Hosting;

/// <summary>Rejects settings with which the engine's lease rules would not hold.</summary>
internal sealed class DurableTaskOptionsValidator : IValidateOptions<DurableTaskOptions>
{
    public ValidateOptionsResult Validate(string? name, DurableTaskOptions options)
    {
        var errors = new List<string>();
        var results = new List<ValidationResult>();
        if (!Validator.TryValidateObject(options, new ValidationContext(options), results, validateAllProperties: true))
            errors.AddRange(results.Select(result => result.ErrorMessage ?? "invalid"));
        if (options.HeartbeatInterval <= TimeSpan.Zero || options.HeartbeatInterval + options.LeaseMargin >= options.LeaseDuration)
            errors.Add(
                "HeartbeatInterval must be positive and HeartbeatInterval + LeaseMargin less than LeaseDuration, "
                    + "or a healthy worker would fence itself."
            );
        if (options.LeaseMargin <= TimeSpan.Zero)
            errors.Add("LeaseMargin must be positive.");
        foreach (
            var (value, setting) in new[]
            {
                (options.PollInterval, nameof(options.PollInterval)),
                (options.SweepInterval, nameof(options.SweepInterval)),
                (options.ResidentIdleTime, nameof(options.ResidentIdleTime)),
                (options.FirstBackoff, nameof(options.FirstBackoff)),
            }
        )
        {
            if (value <= TimeSpan.Zero)
                errors.Add($"{setting} must be positive.");
        }

        if (options.DrainTimeout < TimeSpan.Zero)
            errors.Add("DrainTimeout must not be negative.");
        foreach (var queue in options.Queues)
        {
            if (queue.Key.Length == 0)
                errors.Add("The default queue's limit is MaxConcurrentActivities, not an entry of Queues.");
            if (queue.Value < 1)
                errors.Add($"Queue '{queue.Key}' needs a concurrency of at least 1.");
        }

        return errors.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors);
    }
}
