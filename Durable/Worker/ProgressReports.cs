using System.Collections.Concurrent;
using Librarian.Durable.Stores;
using Microsoft.Extensions.Logging;

namespace Librarian.Durable.Worker;

/// <summary>
/// Writes the newest report of every activity that made one, in one transaction per second. Nothing depends on reports: a crash loses at
/// most the last ones.
/// </summary>
internal sealed class ProgressReports(WorkQueries queries, DataConverter converter, TimeProvider time, ILogger logger)
{
    private readonly ConcurrentDictionary<RunningActivity, bool> _reports = new();
    private int _reporting;

    public void Report(RunningActivity running, object? progress)
    {
        running.Progress = converter.Serialize(progress);
        _reports[running] = true;
        if (Interlocked.Exchange(ref _reporting, 1) == 0)
            _ = WriteAsync();
    }

    private async Task WriteAsync()
    {
        do
        {
            while (!_reports.IsEmpty)
            {
                var reporting = _reports.Keys.OrderBy(running => running.Activity.OperationId, StringComparer.Ordinal).ToList();
                foreach (var running in reporting)
                    _reports.TryRemove(running, out _);
                try
                {
                    await queries.ExecuteAsync(
                        [.. reporting.Select(running => WorkQueries.ReportProgress(running.Activity, running.Progress))],
                        CancellationToken.None
                    );
                }
                catch (Exception fault)
                {
                    logger.ProgressDropped(fault, reporting.Count);
                }

                await Task.Delay(TimeSpan.FromSeconds(1), time);
            }

            Volatile.Write(ref _reporting, 0);
        } while (!_reports.IsEmpty && Interlocked.Exchange(ref _reporting, 1) == 0);
    }
}
