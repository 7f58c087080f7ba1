using Librarian.Functions.Configuration;
using Librarian.Functions.Documentation;
using Librarian.Functions.Startup;

if (await ApiDocument.TryRunVerbAsync(args, typeof(Program).Assembly) is { } written)
    return written;
if (SiteWorker.IsStartedByHost(args))
    return await SiteWorker.Build(args, AddSite, SitePipeline.UseSite).RunFunctionsAsync();
return await SiteCommandLine.RunAsync(args, RunAsync, Build, Console.Out, Console.Error);

static void AddSite(IHostApplicationBuilder builder)
{
    builder.AddFunctions(typeof(Program).Assembly);
    builder.Configuration.AddSiteSources(Environment.CurrentDirectory);
    builder.AddSite();
    builder.AddSiteTelemetry();
}

static WebApplication Build(string[] settings)
{
    var builder = SiteApplication.CreateBuilder(settings);
    AddSite(builder);
    return builder.Build();
}

static async Task<int> RunAsync(string[] settings)
{
    var app = Build(settings);
    app.UseSite();
    return await app.RunFunctionsAsync();
}
