namespace Librarian.Tests.SampleSite;

/// <summary>Stands for slow migrations: the start waits until the file named by SAMPLE_START_GATE exists.</summary>
public sealed class StartGate(IConfiguration configuration) : IHostedService
{
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (configuration["SAMPLE_START_GATE"] is not { Length: > 0 } gate) return;
        while (!File.Exists(gate)) await Task.Delay(10, cancellationToken);
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}

/// <summary>Fails once the file named by SAMPLE_FAIL_GATE exists.</summary>
public sealed class FailingService(IConfiguration configuration) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (configuration["SAMPLE_FAIL_GATE"] is not { Length: > 0 } gate) return;
        while (!File.Exists(gate)) await Task.Delay(10, stoppingToken);
        throw new InvalidOperationException("the sample was told to fail");
    }
}

/// <summary>How often the sample's timer function ran.</summary>
public sealed class TickCounter
{
    private int _ticks;

    public int Ticks => Volatile.Read(ref _ticks);

    public void Add() => Interlocked.Increment(ref _ticks);
}
