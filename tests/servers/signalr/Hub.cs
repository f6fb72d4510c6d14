// A SignalR hub for the tests. Prints its port; answers with the name in HUB_NAME; ends with its standard input.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Net;
using System.Runtime.CompilerServices;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Connections.Features;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.DependencyInjection;

public class TestHub : Hub
{
    static readonly string Name = Environment.GetEnvironmentVariable("HUB_NAME") ?? "hub";

    // The transport as the server sees it: a client may have fallen back without saying so.
    public string[] WhoAmI() =>
        new[] { Name, Context.Features.Get<IHttpTransportFeature>().TransportType.ToString(), Context.ConnectionId };

    public string Echo(string text) => text;

    public async IAsyncEnumerable<int> Count(int to, [EnumeratorCancellation] CancellationToken stopped)
    {
        for (var i = 1; i <= to; i++)
        {
            stopped.ThrowIfCancellationRequested();
            yield return i;
            await Task.Yield();
        }
    }

    public void Leave() => Context.Abort();
}

public static class Program
{
    public static async Task Main()
    {
        var host = new WebHostBuilder()
            .UseKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0))
            .ConfigureServices(services => services.AddRouting().AddSignalR())
            .Configure(app => app.UseRouting().UseEndpoints(routes =>
            {
                routes.MapHub<TestHub>("/hub");
                // Where a browser begins, so that it and the hub have one origin.
                routes.MapGet("/page", answer =>
                {
                    answer.Response.ContentType = "text/html";
                    return answer.Response.WriteAsync("<!doctype html><link rel=icon href=data:,>");
                });
            }))
            .Build();
        await host.StartAsync();
        var address = host.ServerFeatures.Get<IServerAddressesFeature>().Addresses.First();
        Console.WriteLine(new Uri(address).Port);
        // Not the shutdown of the host, which waits for open connections: whoever started this has gone.
        while (Console.In.ReadLine() != null) { }
        Environment.Exit(0);
    }
}
